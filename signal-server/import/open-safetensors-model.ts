import { ChorusError } from '#shared/errors.ts';
import { buildDecoder } from './builder/decoder-graph.ts';
import type { OpenedWeights } from './open-gguf-model.ts';
import { MAX_CONFIG_BYTES, readJson, readModelFolder, resolveInside } from './model-folder.ts';
import { parseDecoderConfig } from './safetensors/decoder-config.ts';
import { roundingWished } from './safetensors/rounding.ts';
import {
  INDEX_FILE,
  MAX_INDEX_BYTES,
  openSafetensorsFolder,
  parseIndex,
  SINGLE_FILE,
} from './safetensors/safetensors-folder.ts';
import { SafetensorsWeights } from './safetensors/safetensors-weights.ts';

/**
 * Opens a folder, a path without links, of config.json, a tokenizer and safetensors; `wish` is what its weights are rounded to.
 * Throws `bad-model`, or `unsupported-model` naming the family, type or way that is not read.
 */
export async function openSafetensorsModel(
  path: string,
  wish: string | undefined,
  maxPositions: number,
): Promise<OpenedWeights> {
  const rounding = roundingWished(wish);
  const folder = await readModelFolder(path);
  const facts = parseDecoderConfig(await readJson(path, 'config.json', false, MAX_CONFIG_BYTES), maxPositions);
  const index = await readJson(path, INDEX_FILE, true, MAX_INDEX_BYTES);
  const places = index === null ? null : parseIndex(index);
  const names = places === null ? [SINGLE_FILE] : [...new Set(places.values())];
  const paths = new Map<string, string>();
  for (const name of names) paths.set(name, await resolveInside(path, name));
  const files = openSafetensorsFolder(paths, places);
  try {
    const weights = new SafetensorsWeights(files, facts, rounding);
    const graph = buildDecoder(facts.shape, weights);
    const [left] = weights.unused;
    if (left !== undefined)
      throw new ChorusError(
        'unsupported-model',
        `the safetensors have the tensor ${left}, which no model with this config.json has here`,
      );
    const { quantization, onlyOn } = rounding;
    const read = places === null ? names : [...names, INDEX_FILE];
    return { folder, file: { ...graph, paths: read, close: files.close }, quantization, onlyOn };
  } catch (error) {
    files.close();
    throw error;
  }
}
