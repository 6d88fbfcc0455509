import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { importModel } from '../../../signal-server/import/import-model.ts';
import { writeSyntheticFolder, type SyntheticShape } from '../../support/synthetic-models.ts';
import { writeLlamaGguf } from './llama-gguf.ts';

/** The shape of SmolLM2-135M, with the table that embedding and head share quantized like its layers. */
export const smolShape: SyntheticShape = {
  ...{ name: 'smollm2-shape', layers: 30, hidden: 576, heads: 9, kvHeads: 3, headSize: 64, intermediate: 1536 },
  ...{ vocabulary: 49_152, positions: 8192, type: 'float32', packedQkv: false, qkNorm: false, rotary: 'built-in' },
  ...{ quant: { bits: 4, blockSize: 32, withZeroPoints: false }, tied: 'quantized', dataFiles: 1, suffix: '_q4' },
};

const GRAPH = 'onnx/model_q4.onnx';

/** One model on the disk in every form that a contender takes. */
export interface PreparedModel {
  readonly name: string;
  /** The folder it was made of. */
  readonly source: string;
  readonly hasDataFile: boolean;
  /** Has `manifest.json`, `blobs/DIGEST`, `Q4_0.gguf` and `Q8_0.gguf`. */
  readonly folder: string;
  readonly maxPositions: number;
}

/** Writes a folder of random weights: all of them distinct, as equal ones would all be found in the processor's caches. */
export async function writeRandomModel(parent: string): Promise<string> {
  const folder = join(parent, smolShape.name);
  await writeSyntheticFolder(folder, smolShape);
  return folder;
}

/** Imports a model folder as a server does, and writes its weights as GGUF too; both below `parent`. */
export async function prepareModel(source: string, parent: string): Promise<PreparedModel> {
  const name = basename(source);
  const folder = join(parent, `${name}-prepared`);
  await mkdir(folder);
  const { manifest } = await importModel(source, { quant: 'q4', dataFolder: folder, onProgress: () => undefined });
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  for (const type of ['Q4_0', 'Q8_0'] as const) await writeLlamaGguf(source, GRAPH, type, join(folder, `${type}.gguf`));
  const hasDataFile = existsSync(join(source, `${GRAPH}_data`));
  return { name, source, hasDataFile, folder, maxPositions: manifest.config.maxPositions };
}
