import { rm } from 'node:fs/promises';
import { setTimeout as waitFor } from 'node:timers/promises';
import { Presets, SingleBar } from 'cli-progress';
import type { Digest } from '#shared/ids.ts';
import { isHubSource } from '../../import/hub/hub-source.ts';
import { formatReport, importModel, type ImportOptions, type ImportProgress } from '../../import/import-model.ts';
import { modelName } from '../../import/model-folder.ts';
import { formatNeed } from '../../import/model-plan.ts';
import type { DataFolder } from '../../machine/data-folder.ts';
import { storeManifest } from '../../placement/model-catalog.ts';

export type ImportWishes = Pick<ImportOptions, 'quant' | 'name' | 'maxPositions' | 'publisherKey' | 'origin'>;

/**
 * Imports a model from a folder, a file or a hub with its progress on the terminal; signs its files and manifest with the server's
 * key, and stores the latter. What was fetched for it is gone once it is imported. Between two steps it throws the signal's
 * reason where that is aborted.
 */
export async function importIntoFolder(
  dataFolder: DataFolder,
  source: string,
  wishes: ImportWishes = {},
  signal?: AbortSignal,
): Promise<{ digest: Digest; report: string }> {
  const bar = new SingleBar({ format: '[{bar}] {percentage}%  {label}', noTTYOutput: false }, Presets.shades_classic);
  const onProgress = ({ label, done, total }: ImportProgress): void => {
    signal?.throwIfAborted();
    bar.setTotal(Math.max(1, total));
    bar.update(done, { label });
  };
  bar.start(1, 0, { label: 'reading' });
  try {
    const fetched = isHubSource(source) ? await fetchFrom(dataFolder, source, wishes, bar, onProgress) : null;
    const { manifest, report } = await importModel(fetched?.folder ?? source, {
      ...(fetched !== null && { origin: fetched.origin, name: modelName(fetched.name) }),
      ...defined(wishes),
      signer: dataFolder.serverIdentity,
      dataFolder: dataFolder.path,
      onProgress,
    });
    const digest = await storeManifest(dataFolder, manifest);
    if (fetched !== null) await rm(fetched.folder, { recursive: true, force: true });
    const need = formatNeed(manifest, report.engine === null);
    return { digest, report: `${formatReport(report)}\n\n${need}` };
  } finally {
    bar.stop();
  }
}

async function fetchFrom(
  dataFolder: DataFolder,
  source: string,
  { quant }: ImportWishes,
  bar: SingleBar,
  onProgress: (progress: ImportProgress) => void,
) {
  // Large, and needed by this alone.
  const { fetchModel, hubAccessOf } = await import('../../import/hub/fetch-model.ts');
  return fetchModel(source, {
    quant,
    dataFolder: dataFolder.path,
    access: { ...hubAccessOf(process.env), wait: (ms) => waitFor(ms) },
    onStart(words) {
      bar.stop();
      process.stdout.write(`${words}\n`);
      bar.start(1, 0, { label: 'fetching' });
    },
    onProgress,
  });
}

/** Wishes that were not made must not hide what the source says. */
function defined(wishes: ImportWishes): ImportWishes {
  return Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined));
}
