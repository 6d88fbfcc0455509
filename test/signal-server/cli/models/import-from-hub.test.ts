import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { importGivenModels } from '../../../../signal-server/cli/serve/default-model.ts';
import { openDataFolder } from '../../../../signal-server/machine/data-folder.ts';
import { ModelCatalog } from '../../../../signal-server/placement/model-catalog.ts';
import { callChorus } from '../../../support/command.ts';
import { ggufModel, writeGgufModel } from '../../../support/gguf-model.ts';
import { startHub, type HubDouble } from '../../../support/hub-double.ts';

let scratch: string;
let data: string;
let hub: HubDouble;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-import-'));
  data = join(scratch, 'data');
  await writeGgufModel(join(scratch, 'tiny.gguf'), ggufModel('llama', ['Q8_0']));
  const card = new TextEncoder().encode('---\nlicense: mit\n---\n\n# Tiny\n\nA model of a repository.\n');
  hub = await startHub('owner/Tiny-Model', { 'README.md': card, 'tiny-Q8_0.gguf': await readFile(join(scratch, 'tiny.gguf')) });
  vi.stubEnv('HF_ENDPOINT', hub.url);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  await rm(scratch, { recursive: true });
});

const models = async () => {
  const catalog = new ModelCatalog(await openDataFolder(data), 1);
  await catalog.rescan();
  return catalog.entries.map(({ manifest }) => manifest);
};

test('a model is imported by its name on a hub, pinned to its commit, and serve takes it for the same', { timeout: 60_000 }, async () => {
  const { code, out } = await callChorus(...['import-model', 'hf:owner/Tiny-Model', '--name', 'mine', '--max-positions', '32', '--data', data]);
  expect([code, out]).toEqual([0, expect.stringContaining(`owner/Tiny-Model at ${hub.commit}: 2 files of`)]);
  const [manifest] = await models();
  expect(manifest).toMatchObject({ name: 'mine', licence: 'mit', description: 'A model of a repository.' });
  expect(manifest!.config.maxPositions).toBe(32);
  expect(manifest!.source.origin).toBe(`${hub.url}/owner/Tiny-Model/tree/${hub.commit}`);
  expect(manifest!.source.files.map(({ name }) => name).sort()).toEqual(['README.md', 'tiny-Q8_0.gguf']);
  expect(await readdir(join(data, 'downloads'))).toEqual([]);

  const before = hub.requests.length;
  await importGivenModels(await openDataFolder(data), ['hf:owner/Tiny-Model', `hf:owner/Tiny-Model@${hub.commit}`], 1);
  expect(hub.requests).toHaveLength(before);
});

test('serve imports a file that is not there yet, and only then', { timeout: 60_000 }, async () => {
  const folder = await openDataFolder(data);
  await importGivenModels(folder, [join(scratch, 'tiny.gguf'), join(scratch, 'tiny.gguf')], 1);
  const [manifest, ...others] = await models();
  expect([manifest!.name, others]).toEqual(['tiny', []]);
  await rm(join(scratch, 'tiny.gguf'));
  await importGivenModels(folder, [join(scratch, 'tiny.gguf')], 1);
  expect(await models()).toEqual([manifest]);
});
