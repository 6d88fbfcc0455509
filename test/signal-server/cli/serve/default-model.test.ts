import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { checkModelSource } from '#shared/model/model-source.ts';
import { importDefaultModel } from '../../../../signal-server/cli/serve/default-model.ts';
import { openDataFolder, type DataFolder } from '../../../../signal-server/machine/data-folder.ts';
import { ModelCatalog, storeManifest } from '../../../../signal-server/placement/model-catalog.ts';
import { smallManifest } from '../../../support/small-manifest.ts';

let folder: DataFolder;
beforeEach(async () => {
  folder = await openDataFolder(await mkdtemp(join(tmpdir(), 'chorus-data-')));
});
afterEach(() => rm(folder.path, { recursive: true }));

async function namesOfModels(): Promise<string[]> {
  const catalog = new ModelCatalog(folder, 1);
  await catalog.rescan();
  return catalog.entries.map(({ manifest }) => manifest.name);
}

test('a folder whose models older versions wrote gets the default model anew', { timeout: 60_000 }, async () => {
  const { source: _, ...second } = { ...smallManifest(), format: 'chorus-manifest/2' };
  const { channelScale: __, ...probe } = second.probe;
  for (const old of [second, { ...second, format: 'chorus-manifest/1', probe }])
    await storeManifest(folder, old as unknown as Manifest);
  expect(await namesOfModels()).toEqual([]);
  await importDefaultModel(folder, 1);
  expect(await namesOfModels()).toEqual(['wren']);
});

test('an imported model is signed by the operator’s key, folder and manifest', { timeout: 60_000 }, async () => {
  await importDefaultModel(folder, 1);
  const catalog = new ModelCatalog(folder, 1);
  await catalog.rescan();
  const { source } = catalog.entries[0]!.manifest;
  expect(source.signature?.publicKey).toBe(publicKeyPem(folder.serverIdentity.publicKey));
  expect(await checkModelSource(source, verifySignature)).toBe('signed');
  // A folder that was put back without its blobs has a manifest and nothing to load.
  await rm(folder.blobsPath, { recursive: true });
  expect((await catalog.rescan()).changed).toMatchObject([{ isWhole: false }]);
  await importDefaultModel(folder, 1);
  expect((await catalog.rescan()).changed).toMatchObject([{ isWhole: true }]);
});

test('a folder that has a model is left as it is', async () => {
  await storeManifest(folder, smallManifest());
  await importDefaultModel(folder, 1);
  expect(await namesOfModels()).toEqual(['small']);
});

test('an import that is told to stop ends before its next step, and leaves nothing half made', async () => {
  const stop = new AbortController();
  const writing = vi.spyOn(process.stdout, 'write').mockImplementation(() => {
    stop.abort();
    return true;
  });
  try {
    await expect(importDefaultModel(folder, 1, stop.signal)).rejects.toThrow('aborted');
  } finally {
    writing.mockRestore();
  }
  expect(await readdir(folder.path, { recursive: true })).toEqual(['blobs', 'models', 'server.key']);
});
