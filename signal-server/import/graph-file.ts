import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TensorProto } from 'onnx-buf';
import { ChorusError } from '#shared/errors.ts';
import { MAX_BLOB_BYTES } from '#shared/limits.ts';
import { decodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';
import { externalData, tensorByteLength } from '#shared/model/tensor-bytes.ts';
import { MAX_GRAPH_BYTES, readInside, resolveInside, type ModelFolder } from './model-folder.ts';

/** What published graphs are quantized to. */
export type Quantization = 'q4' | 'q8' | 'q4f16' | 'fp16' | 'fp32';

/** How the public exports name their files; the first that is there is taken. */
const suffixes: Readonly<Record<Quantization, readonly string[]>> = {
  q4: ['_q4'],
  q8: ['_q8', '_quantized'],
  q4f16: ['_q4f16'],
  fp16: ['_fp16'],
  fp32: [''],
};

/** Without a wish: small before exact, f32 arithmetic before f16. */
const preference: readonly Quantization[] = ['q4', 'q8', 'q4f16', 'fp16', 'fp32'];
/** The kinds that fp32 is made of where there is no fp32 file: the most exact first. */
const dequantizable: readonly Quantization[] = ['fp16', 'q8', 'q4', 'q4f16'];

export interface ChosenGraph {
  readonly path: string;
  readonly quantization: Quantization;
  /** Set where the file is to be converted to fp32 first. */
  readonly from: Quantization | null;
}

/** Throws `unsupported-model` if the folder has no file of that kind. */
export function chooseGraph(folder: Pick<ModelFolder, 'graphs'>, wish: string | undefined): ChosenGraph {
  if (wish !== undefined && !isQuantization(wish)) {
    throw new ChorusError(
      'unsupported-model',
      `--quant ${wish.slice(0, 40)} is no kind of a graph; ${Object.keys(suffixes).join(', ')} are`,
    );
  }
  const find = (quantization: Quantization): string | undefined =>
    suffixes[quantization]
      .flatMap((suffix) => folder.graphs.filter((path) => /(^|[/\\])model([^/\\]*)\.onnx$/.exec(path)?.[2] === suffix))
      .at(0);
  for (const quantization of wish ? [wish] : preference) {
    const path = find(quantization);
    if (path !== undefined) return { path, quantization, from: null };
  }
  for (const from of wish === 'fp32' ? dequantizable : []) {
    const path = find(from);
    if (path !== undefined) return { path, quantization: 'fp32', from };
  }
  const there = folder.graphs.length === 0 ? 'no graph' : folder.graphs.join(', ');
  throw new ChorusError(
    'unsupported-model',
    `the folder has no ${wish ?? ''} graph that is understood; it has ${there}`,
  );
}

function isQuantization(name: string): name is Quantization {
  return Object.hasOwn(suffixes, name);
}

/** A model's graph with a way to its weights, inside it or in files beside it. */
export interface GraphFile {
  readonly model: OnnxModel;
  /** The weight's bytes, as its shape and type say. Throws `bad-model` where there are more or fewer. */
  readonly read: ReadWeight;
  /** Paths, relative to the model folder, of all files that it lies in. */
  readonly paths: readonly string[];
  /** How far the import's rounding took a weight, once it was read (`MatrixWeight`); null where it was not rounded. */
  readonly relativeError: (name: string) => number | null;
  readonly close: () => void;
}

export async function openGraphFile(folder: ModelFolder, path: string): Promise<GraphFile> {
  const model = decodeModel(await readInside(folder.path, path, MAX_GRAPH_BYTES));
  const files = new Map<string, number>();
  const close = () => {
    for (const file of files.values()) closeSync(file);
    files.clear();
  };
  try {
    for (const location of new Set(model.graph.initializer.flatMap((tensor) => externalData(tensor)?.location ?? []))) {
      if (files.size >= 128) throw new ChorusError('bad-model', 'the weights lie in more than 128 files');
      const real = await resolveInside(folder.path, `${dirname(path)}/${location}`);
      const file = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK);
      files.set(location, file);
      if (!fstatSync(file).isFile()) throw new ChorusError('bad-model', `${location} is not a file`);
    }
  } catch (error) {
    close();
    throw error;
  }
  const paths = [path, ...[...files.keys()].map((location) => join(dirname(path), location))];
  return { model, read: (tensor) => readWeight(tensor, files), paths, relativeError: () => null, close };
}

function readWeight(tensor: TensorProto, files: ReadonlyMap<string, number>): Uint8Array {
  const bytes = tensorByteLength(tensor);
  const name = tensor.name.slice(0, 200);
  if (bytes > MAX_BLOB_BYTES) throw new ChorusError('bad-model', `the weight ${name} is too large`);
  const external = externalData(tensor);
  if (external === null) {
    const inside = tensor.rawData.length > 0 || bytes === 0 ? tensor.rawData : packFields(tensor);
    if (inside.length === bytes) return inside;
    throw new ChorusError('bad-model', `the weight ${name} has ${inside.length} bytes, its shape asks for ${bytes}`);
  }
  const file = files.get(external.location)!;
  const available = fstatSync(file).size - external.offset;
  if (bytes > available || (external.length !== null && external.length !== bytes)) {
    throw new ChorusError(
      'bad-model',
      `the weight ${name} does not fit its place in ${external.location.slice(0, 200)}`,
    );
  }
  const data = new Uint8Array(bytes);
  for (let done = 0; done < bytes;) {
    const count = readSync(file, data, done, Math.min(bytes - done, 2 ** 30), external.offset + done);
    if (count === 0) throw new ChorusError('bad-model', `${external.location} shrank while it was read`);
    done += count;
  }
  return data;
}

/** Numbers kept in protobuf fields, as bytes (onnx.proto, TensorProto: which field holds which type). */
function packFields(tensor: TensorProto): Uint8Array {
  const { floatData, int32Data, int64Data, dataType } = tensor;
  if (dataType === 1) return new Uint8Array(Float32Array.from(floatData).buffer);
  if (dataType === 7) return new Uint8Array(BigInt64Array.from(int64Data).buffer);
  if (dataType === 6) return new Uint8Array(Int32Array.from(int32Data).buffer);
  if (dataType === 10) return new Uint8Array(Uint16Array.from(int32Data).buffer);
  return Uint8Array.from(int32Data);
}
