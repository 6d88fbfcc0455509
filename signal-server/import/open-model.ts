import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { readAnatomy } from '#shared/model/anatomy.ts';
import { foldModel } from '#shared/model/fold.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { OnnxModel } from '#shared/model/onnx-file.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';
import { externalData } from '#shared/model/tensor-bytes.ts';
import { chooseGguf } from './gguf/choose-gguf.ts';
import { openGgufModel } from './open-gguf-model.ts';
import { openSafetensorsModel } from './open-safetensors-model.ts';
import { hasSafetensors } from './safetensors/safetensors-folder.ts';
import { chooseGraph, openGraphFile, type GraphFile } from './graph-file.ts';
import {
  locateFolder,
  MAX_CONFIG_BYTES,
  readInsideIfThere,
  readModelFolder,
  type ModelFolder,
} from './model-folder.ts';
import { openSource, openSourceFile, type OpenSource } from './model-source.ts';

/** A model, of whatever files, as a graph with a way to its weights. */
export interface OpenedModel {
  readonly folder: ModelFolder;
  readonly file: GraphFile;
  readonly quantization: Manifest['pins']['quantization'];
  /** The one backend that holds the weights exactly; null where all do. */
  readonly onlyOn: 'wasm' | null;
  /** The file of the graph, relative to the folder. */
  readonly name: string;
  readonly source: OpenSource;
}

export interface OpenModelOptions {
  readonly quant?: string | undefined;
  readonly maxPositions: number;
  readonly onReading: (name: string) => void;
}

/**
 * Opens a GGUF file, or a folder with ONNX graphs, GGUF files or safetensors, the first of these that is there. Throws `bad-model`
 * or `unsupported-model`, naming file, node or tensor and why.
 */
export async function openModel(path: string, options: OpenModelOptions, warnings: string[]): Promise<OpenedModel> {
  if (await isFile(path)) return openFile(path, options);
  const located = await locateFolder(path);
  const names = await readdir(located);
  if (hasGgufAlone(names) || (hasGguf(names) && !(await hasGraphs(located, names)))) {
    const source = await openSource(located);
    return openGgufIn(located, chooseGguf(names.sort(), options.quant), source, options);
  }
  if (hasSafetensors(names) && !(await hasGraphs(located, names))) return openSafetensorsIn(located, options);
  return openGraph(located, options, warnings);
}

/** Throws as `openModel` where a path is plainly no model, without reading weights. */
export async function demandModel(path: string): Promise<void> {
  if (await isFile(path)) return demandGguf(path);
  const located = await locateFolder(path);
  if (!hasGgufAlone(await readdir(located))) await readModelFolder(located);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function demandGguf(path: string): void {
  if (/\.gguf$/i.test(path)) return;
  throw new ChorusError('unsupported-model', `${path} is no GGUF file; other models are imported by their folder`);
}

function hasGgufAlone(names: readonly string[]): boolean {
  return !names.includes('config.json') && hasGguf(names);
}

function hasGguf(names: readonly string[]): boolean {
  return names.some((name) => /\.gguf$/i.test(name));
}

async function openFile(path: string, options: OpenModelOptions): Promise<OpenedModel> {
  demandGguf(path);
  // A link in a cache keeps its own name.
  const located = await locateFolder(dirname(path));
  const name = basename(path);
  return openGgufIn(located, name, await openSourceFile(located, name), options);
}

async function openGgufIn(
  located: string,
  name: string,
  source: OpenSource,
  { maxPositions, onReading }: OpenModelOptions,
): Promise<OpenedModel> {
  onReading(name);
  const isWhole = source.names.length > 1;
  const card = isWhole ? await readInsideIfThere(located, 'README.md', MAX_CONFIG_BYTES) : null;
  return { ...(await openGgufModel(located, name, maxPositions, card)), name, source };
}

async function hasGraphs(located: string, names: readonly string[]): Promise<boolean> {
  const inner = names.includes('onnx') ? await readdir(join(located, 'onnx')).catch(() => []) : [];
  return [...names, ...inner].some((name) => name.endsWith('.onnx'));
}

async function openSafetensorsIn(
  located: string,
  { quant, maxPositions, onReading }: OpenModelOptions,
): Promise<OpenedModel> {
  const source = await openSource(located);
  onReading('safetensors');
  const opened = await openSafetensorsModel(located, quant, maxPositions);
  return { ...opened, name: opened.file.paths[0]!, source };
}

async function openGraph(located: string, options: OpenModelOptions, warnings: string[]): Promise<OpenedModel> {
  const source = await openSource(located);
  const folder = await readModelFolder(located);
  const chosen = chooseGraph(folder, options.quant);
  options.onReading(chosen.path);
  const file = await openGraphFile(folder, chosen.path);
  const opened = { folder, quantization: chosen.quantization, onlyOn: null, name: chosen.path, source };
  if (chosen.from === null) return { ...opened, file };
  warnings.push(`there is no fp32 file: the weights of ${chosen.path} (${chosen.from}) were converted, exactly`);
  try {
    return { ...opened, file: { ...file, read: convertToFloat(file.model, file.read) } };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Rewrites the model to plain fp32 operators that every backend has; answers how to read its weights now. */
function convertToFloat(model: OnnxModel, read: ReadWeight): ReadWeight {
  readAnatomy(model);
  const files = new Map(foldModel(model, read, 'plain', 'converted/').map((file) => [file.path, file.data]));
  return (tensor) => files.get(externalData(tensor)?.location ?? '') ?? read(tensor);
}

/** The path for people. */
export function describePlace({ folder, name }: OpenedModel): string {
  return join(folder.path, name);
}
