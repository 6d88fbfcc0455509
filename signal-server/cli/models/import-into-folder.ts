import { Presets, SingleBar } from 'cli-progress';
import type { Digest } from '#shared/ids.ts';
import { formatReport, importModel, type ImportOptions } from '../../import/import-model.ts';
import type { DataFolder } from '../../machine/data-folder.ts';
import { storeManifest } from '../../placement/model-catalog.ts';

/**
 * Imports a model folder with its progress on the terminal; signs folder and manifest with the server's key, and stores the
 * latter. Between two steps it throws the signal's reason where that is aborted.
 */
export async function importIntoFolder(
  dataFolder: DataFolder,
  folder: string,
  options: Pick<ImportOptions, 'quant' | 'publisherKey' | 'origin'> = {},
  signal?: AbortSignal,
): Promise<{ digest: Digest; report: string }> {
  const bar = new SingleBar({ format: '[{bar}] {percentage}%  {label}', noTTYOutput: false }, Presets.shades_classic);
  bar.start(1, 0, { label: 'reading the folder' });
  try {
    const { manifest, report } = await importModel(folder, {
      ...options,
      signer: dataFolder.serverIdentity,
      dataFolder: dataFolder.path,
      onProgress({ label, done, total }) {
        signal?.throwIfAborted();
        bar.setTotal(Math.max(1, total));
        bar.update(done, { label });
      },
    });
    return { digest: await storeManifest(dataFolder, manifest), report: formatReport(report) };
  } finally {
    bar.stop();
  }
}
