import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { importModel } from '../../signal-server/import/import-model.ts';

export interface ImportedWren {
  readonly manifest: Manifest;
  readonly digest: Digest;
  /** Holds `blobs/<digest>`, as a server's data folder does. */
  readonly dataFolder: string;
  readonly readBlob: (digest: Digest) => Promise<Uint8Array<ArrayBuffer>>;
}

const root = new URL('../../', import.meta.url).pathname;
const cache = join(root, 'node_modules/.cache/chorus-test');
/** What an import depends on; a change makes another cache folder. */
const sources = [
  ...['README.md', 'config.json', 'tokenizer.json', 'onnx/model_q4.onnx', 'onnx/model_q8.onnx'].map(
    (name) => `models/wren/${name}`,
  ),
  ...['import-model', 'normalize-graph', 'split-parts', 'write-parts', 'add-probe'].map(
    (name) => `signal-server/import/${name}.ts`,
  ),
  ...['fold', 'dequantize', 'quantized-weights', 'stage-graph', 'manifest'].map((name) => `shared/model/${name}.ts`),
];

/** Wren, imported once for all test processes: whoever finishes first moves its folder into place whole. */
export async function importedWren(quant: 'q4' | 'q8' | 'fp32' = 'q4'): Promise<ImportedWren> {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(await readFile(join(root, source)));
  const dataFolder = join(cache, `wren-${quant}-${hash.digest('hex').slice(0, 16)}`);
  if (!(await stat(dataFolder).catch(() => null))) await importInto(dataFolder, quant);
  const { manifest, digest } = JSON.parse(await readFile(join(dataFolder, 'imported.json'), 'utf8')) as ImportedWren;
  const readBlob = async (blob: Digest) => new Uint8Array(await readFile(join(dataFolder, 'blobs', blob)));
  return { manifest, digest, dataFolder, readBlob };
}

async function importInto(dataFolder: string, quant: 'q4' | 'q8' | 'fp32'): Promise<void> {
  await mkdir(cache, { recursive: true });
  const unfinished = await mkdtemp(join(cache, 'unfinished-'));
  const imported = await importModel(join(root, 'models/wren'), {
    quant,
    dataFolder: unfinished,
    onProgress: () => undefined,
  });
  const { manifest, digest } = imported;
  await writeFile(join(unfinished, 'imported.json'), JSON.stringify({ manifest, digest }));
  try {
    await rename(unfinished, dataFolder);
  } catch (error) {
    // Another process was faster; its import is the same.
    await rm(unfinished, { recursive: true });
    if (!(await stat(dataFolder).catch(() => null))) throw error;
  }
}
