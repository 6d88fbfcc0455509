import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { presentModel } from '../../../../signal-server/cli/serve/present-model.ts';
import type { CatalogEntry } from '../../../../signal-server/placement/model-catalog.ts';
import { unsignedSource } from '../../../support/model-sources.ts';
import { smallManifest } from '../../../support/small-manifest.ts';

const COMMIT = 'c'.repeat(40);
const PAGE = `https://hub.test/owner/Tiny/tree/${COMMIT}`;
let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-present-'));
  file = join(folder, 'tiny.gguf');
  await writeFile(file, 'weights');
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.stubEnv('HF_ENDPOINT', 'https://hub.test');
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** A model that was made of a file `tiny.gguf` with this text in it. */
function entry(name: string, text: string, { origin = null as string | null, isWhole = true } = {}): CatalogEntry {
  const source = { ...unsignedSource({ 'tiny.gguf': text }), origin };
  const manifest: Manifest = { ...smallManifest({ name }), source };
  return { digest: digestOf(utf8(name)), manifest, isWhole } as unknown as CatalogEntry;
}

test('a file is the model that was made of its bytes, whatever either is called', async () => {
  const mine = entry('mine', 'weights');
  expect(await presentModel(file, [entry('other', 'other weights'), mine])).toBe(mine);
  expect(await presentModel(file, [entry('other', 'other weights')])).toBeNull();
  expect(await presentModel(file, [])).toBeNull();
});

test('a model of the same name and of other bytes is named, with what to do', async () => {
  const other = entry('tiny', 'other weights');
  await expect(presentModel(file, [other])).rejects.toMatchObject({
    details: { exitStatus: 2 },
    message: expect.stringMatching(
      `tiny.gguf is not what the model tiny here was made of .*${other.digest}.json`,
    ) as string,
  });
});

test('a folder is compared file by file, so that one more or one changed makes it another', async () => {
  const made = entry('tiny', 'weights');
  expect(await presentModel(folder, [made])).toBe(made);
  await writeFile(join(folder, 'README.md'), 'a card');
  expect(await presentModel(folder, [made])).toBeNull();
});

test('a file that is gone after its import is the model of its name', async () => {
  await rm(file);
  const made = entry('tiny', 'other weights');
  expect(await presentModel(file, [made])).toBe(made);
});

test('a model whose blobs are gone is imported again from its own source, and from no other', async () => {
  expect(await presentModel(file, [entry('tiny', 'weights', { isWhole: false })])).toBeNull();
  await expect(presentModel(file, [entry('tiny', 'other', { isWhole: false })])).rejects.toThrow('is not what');
});

test('a repository is the one of the hub, at the commit that is named', async () => {
  const made = entry('tiny', 'weights', { origin: PAGE });
  expect(await presentModel('hf:owner/Tiny', [made])).toBe(made);
  expect(await presentModel(`hf:owner/Tiny@${COMMIT}`, [made])).toBe(made);
  await expect(presentModel(`hf:owner/Tiny@${'d'.repeat(40)}`, [made])).rejects.toThrow(PAGE);
  await expect(presentModel('hf:other/Tiny', [made])).rejects.toThrow(PAGE);
  expect(await presentModel('hf:owner/Tiny-2', [made])).toBeNull();
});
