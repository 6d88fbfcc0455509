import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Manifest } from '#shared/model/manifest.ts';
import { importDefaultModel } from '../../../signal-server/cli/default-model.ts';
import { openDataFolder, type DataFolder } from '../../../signal-server/data-folder.ts';
import { ModelCatalog, storeManifest } from '../../../signal-server/model-catalog.ts';
import { smallManifest } from '../../support/small-manifest.ts';

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

test('a folder whose models an older version wrote gets the default model anew', { timeout: 60_000 }, async () => {
  const { channelScale: _, ...probe } = smallManifest().probe;
  const old = { ...smallManifest(), format: 'chorus-manifest/1', probe };
  await storeManifest(folder, old as unknown as Manifest);
  expect(await namesOfModels()).toEqual([]);
  await importDefaultModel(folder, 1);
  expect(await namesOfModels()).toEqual(['wren']);
});

test('a folder that has a model is left as it is', async () => {
  await storeManifest(folder, smallManifest());
  await importDefaultModel(folder, 1);
  expect(await namesOfModels()).toEqual(['small']);
});
