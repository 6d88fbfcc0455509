import { basename, join, resolve } from 'node:path';
import { isHubSource } from '../../import/hub/hub-source.ts';
import type { Config } from '../../machine/config.ts';
import type { DataFolder } from '../../machine/data-folder.ts';
import { isThere } from '../../machine/used-folder.ts';
import { ModelCatalog } from '../../placement/model-catalog.ts';
import { importIntoFolder } from '../models/import-into-folder.ts';
import { defaultModelFolder } from '../terminal/package-files.ts';
import { presentModel } from './present-model.ts';

/** Imports what the folder lacks: the operator's models, and the package's own. Throws the signal's reason once it is aborted. */
export async function importModels(
  dataFolder: DataFolder,
  { models, minStages }: Pick<Config, 'models' | 'minStages'>,
  signal: AbortSignal,
): Promise<void> {
  await importGivenModels(dataFolder, models, minStages, signal);
  await importDefaultModel(dataFolder, minStages, signal);
}

/** Imports those of the operator's models that are not there yet; each of them comes as `chorus import-model` has it. */
export async function importGivenModels(
  dataFolder: DataFolder,
  sources: readonly string[],
  leastStages: number,
  signal?: AbortSignal,
): Promise<void> {
  if (sources.length === 0) return;
  const catalog = new ModelCatalog(dataFolder, leastStages);
  for (const source of sources) {
    await catalog.rescan();
    const present = await presentModel(source, catalog.entries);
    if (present !== null) {
      const { name, source: from } = present.manifest;
      if (from.origin !== null) process.stdout.write(`${name} is here as it was imported: ${from.origin}\n`);
      continue;
    }
    process.stdout.write(`importing ${source}\n`);
    const { report } = await importIntoFolder(dataFolder, isHubSource(source) ? source : resolve(source), {}, signal);
    process.stdout.write(`${report}\n`);
  }
}

/**
 * A first start has no model, a folder of an older version or of another key none that can be used, and one put back
 * without its blobs cannot load the package's own: that one is imported. Throws the signal's reason once it is aborted.
 */
export async function importDefaultModel(
  dataFolder: DataFolder,
  leastStages: number,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const catalog = new ModelCatalog(dataFolder, leastStages);
  const { refused } = await catalog.rescan();
  const isCut = catalog.entries.some(
    ({ manifest, isWhole }) => !isWhole && manifest.name === basename(defaultModelFolder),
  );
  if (catalog.entries.length > 0 && !isCut) return;
  const isUsed = await isThere(join(dataFolder.path, 'log.key'));
  const none = isUsed ? 'No model is left in this folder' : 'First start';
  const why = refused.length === 0 ? none : 'No model here is of this version and of this server';
  const reason = isCut ? 'Blobs of the model that comes with Chorus are missing' : why;
  process.stdout.write(`${reason}: importing the model that comes with Chorus.\n`);
  const { report } = await importIntoFolder(dataFolder, defaultModelFolder, {}, signal);
  process.stdout.write(`${report}\n`);
}
