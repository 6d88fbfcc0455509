import type { DataFolder } from '../../machine/data-folder.ts';
import { ModelCatalog } from '../../placement/model-catalog.ts';
import { importIntoFolder } from '../models/import-into-folder.ts';
import { defaultModelFolder } from '../terminal/package-files.ts';

/** A first start has no model, and a folder of an older version none that can be read: the package's own is imported. */
export async function importDefaultModel(dataFolder: DataFolder, leastStages: number): Promise<void> {
  const catalog = new ModelCatalog(dataFolder, leastStages);
  const { refused } = await catalog.rescan();
  if (catalog.entries.length > 0) return;
  const why = refused.length === 0 ? 'First start' : 'No model here is of this version';
  process.stdout.write(`${why}: importing the model that comes with Chorus.\n`);
  const { report } = await importIntoFolder(dataFolder, defaultModelFolder);
  process.stdout.write(`${report}\n`);
}
