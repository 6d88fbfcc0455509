import type { TensorProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { readAnatomy } from './anatomy.ts';
import { foldModel, type WeightFile } from './fold.ts';
import { ggufWeight, isGgufNode } from './gguf-weight.ts';
import type { BlobRef, Manifest, Part, Weight } from './manifest.ts';
import { intAttribute } from './node-attributes.ts';
import { decodeModel, encodeModel, type OnnxModel } from './onnx-file.ts';
import { describeNode } from './operators.ts';
import { quantizedWeight, weightFinder, type ReadWeight } from './quantized-weights.ts';
import { cutStageGraph, type StageIo } from './stage-graph.ts';
import { describeRange, fitsModel, type StageRange } from './stage.ts';
import { externalData, tensorByteLength, tensorDims, tensorType } from './tensor-bytes.ts';

export type { StageIo } from './stage-graph.ts';

/** A model file for the runtime that runs one stage, with the files that its `externalData` option must give. */
export interface StageGraph {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly externalData: WeightFile[];
  readonly io: StageIo;
  /** Bytes of all weights as the runtime will hold them. */
  readonly weightBytes: number;
}

/** The parts whose blobs a stage reads, each once. Throws `bad-manifest` if one is missing. */
export function stageParts(manifest: Pick<Manifest, 'name' | 'config' | 'parts'>, range: StageRange): Part[] {
  if (!fitsModel(range, manifest.config.layers)) {
    throw new ChorusError('bad-manifest', `${manifest.name} has no stage ${describeRange(range)}`);
  }
  const byName = new Map(manifest.parts.map((part) => [part.name, part]));
  const names = new Set<string>();
  if (range.embedding) names.add('embedding');
  for (let layer = range.start; layer < range.end; layer++) names.add(`layer.${layer}`);
  if (range.head) names.add('head');
  // Iterating a set also visits what is added on the way.
  for (const name of names) for (const other of byName.get(name)?.uses ?? []) names.add(other);
  return [...names].map((name) => {
    const part = byName.get(name);
    if (part === undefined) throw new ChorusError('bad-manifest', `the manifest has no part ${name}`);
    return part;
  });
}

/** All blobs that loading and probing a stage needs, each once: graph, parts, and the probe's values at both ends. */
export function stageBlobs(manifest: Manifest, range: StageRange): BlobRef[] {
  const { boundaries, logits } = manifest.probe;
  const probe = [range.embedding ? undefined : boundaries[range.start], range.head ? logits : boundaries[range.end]];
  const blobs = [manifest.graph, ...stageParts(manifest, range).map((part) => part.blob), ...probe];
  return [...new Map(blobs.flatMap((blob) => (blob ? [[blob.digest, blob] as const] : []))).values()];
}

export interface CutRequest {
  readonly manifest: Manifest;
  /** The blob `manifest.graph`. */
  readonly graph: Uint8Array;
  readonly range: StageRange;
  /** Bytes of the blobs that `stageParts` lists, checked against their digests by the caller; null where they are read later, by `place`. */
  readonly blob: ((digest: Digest) => Uint8Array<ArrayBuffer>) | null;
}

/** Where the bytes of a weight lie. */
export interface WeightPlace {
  readonly blob: BlobRef;
  readonly offset: number;
  readonly bytes: number;
}

/** One stage of a model, cut out of its graph, with its weights at hand. */
export interface CutStage {
  readonly model: OnnxModel;
  readonly io: StageIo;
  readonly read: ReadWeight;
  /** The bytes of a constant that the graph holds itself, or where else they lie. */
  readonly place: (tensor: TensorProto) => Uint8Array | WeightPlace;
  /** The parts' blobs, by digest. */
  readonly blobs: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/**
 * Cuts one stage out of the whole model's graph.
 * Throws `bad-model` or `unsupported-model` naming the node and why, `pin-mismatch` if the graph breaks a pin.
 */
export function cutStage({ manifest, graph, range, blob }: CutRequest): CutStage {
  const anatomy = readAnatomy(decodeModel(graph));
  if (anatomy.layers.length !== manifest.config.layers)
    throw new ChorusError('bad-model', 'graph and manifest differ in their layers');
  const { model, io } = cutStageGraph(anatomy, range);
  const parts = stageParts(manifest, range);
  const blobs = new Map(
    blob === null ? [] : parts.map((part) => [part.blob.digest as string, blobOf(part, blob)] as const),
  );
  const place = weightFinderIn(parts);
  for (const tensor of model.graph.initializer) place(tensor);
  checkQuantized(model, manifest);
  const read: ReadWeight = (tensor) => {
    const placed = place(tensor);
    if (placed instanceof Uint8Array) return placed;
    return blobs.get(placed.blob.digest)!.subarray(placed.offset, placed.offset + placed.bytes);
  };
  return { model, io, read, place, blobs };
}

/**
 * A cut stage as a file for the runtime. With `fold` everything is float32, as the WASM backend wants it, quantized weights
 * too; without it the blobs themselves are the external data. The cut stage cannot be used again. Throws `unsupported-model`
 * where blocks of a GGUF file would have to stay as they are.
 */
export function stageGraph({ model, io, read, blobs }: CutStage, fold: boolean): StageGraph {
  if (!fold && model.graph.node.some(isGgufNode))
    throw new ChorusError(
      'unsupported-model',
      'only the engine on a processor holds the blocks of this model’s GGUF file',
    );
  const folded = fold ? foldModel(model, read, 'fused') : [];
  const locations = new Set(model.graph.initializer.map((tensor) => externalData(tensor)?.location));
  const files = [...blobs].map(([path, data]) => ({ path, data })).filter((file) => locations.has(file.path));
  return {
    model: encodeModel(model),
    externalData: [...files, ...folded],
    io: fold ? { ...io, activationType: 'float32', kvType: 'float32', logitsType: 'float32' } : io,
    weightBytes: model.graph.initializer.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0),
  };
}

function blobOf(part: Part, blob: NonNullable<CutRequest['blob']>): Uint8Array<ArrayBuffer> {
  const bytes = blob(part.blob.digest);
  if (bytes.length !== part.blob.bytes)
    throw new ChorusError('bad-model', `the blob of ${part.name} has another length than its manifest says`);
  return bytes;
}

/** Quantized weights must fit their nodes on every backend, and numbers must not depend on 8-bit activations. */
function checkQuantized(model: OnnxModel, { pins }: Manifest): void {
  const find = weightFinder(model.graph);
  for (const node of model.graph.node) {
    if (isGgufNode(node)) ggufWeight(node, find);
    if (node.opType !== 'MatMulNBits' && node.opType !== 'GatherBlockQuantized') continue;
    quantizedWeight(node, find);
    const level = node.opType === 'MatMulNBits' ? intAttribute(node, 'accuracy_level', 0) : pins.accuracyLevel;
    if (level !== pins.accuracyLevel) {
      throw new ChorusError(
        'pin-mismatch',
        `${describeNode(node)}: accuracy_level ${level} instead of ${pins.accuracyLevel}`,
      );
    }
  }
}

/** Finds weights, wherever they lie. Graph and manifest must say the same about each. */
function weightFinderIn(parts: readonly Part[]): CutStage['place'] {
  const listed = new Map<string, { weight: Weight; blob: BlobRef }>();
  for (const part of parts) {
    for (const weight of part.weights) {
      if (listed.has(weight.name))
        throw new ChorusError('bad-model', `two parts hold the weight ${weight.name.slice(0, 200)}`);
      listed.set(weight.name, { weight, blob: part.blob });
    }
  }
  return (tensor) => {
    const bytes = tensorByteLength(tensor);
    const external = externalData(tensor);
    if (external === null) {
      if (tensor.rawData.length === bytes) return tensor.rawData;
      throw new ChorusError('bad-model', `the constant ${tensor.name.slice(0, 200)} is not as long as its shape says`);
    }
    const found = listed.get(tensor.name);
    const isSame =
      found !== undefined &&
      found.blob.digest === external.location &&
      found.weight.offset === external.offset &&
      found.weight.bytes === external.length &&
      found.weight.type === tensorType(tensor) &&
      found.weight.dims.join() === tensorDims(tensor).join();
    if (!isSame || bytes !== external.length || external.offset + bytes > found.blob.bytes) {
      throw new ChorusError(
        'bad-model',
        `the weight ${tensor.name.slice(0, 200)} does not lie where graph and manifest say`,
      );
    }
    return { blob: found.blob, offset: external.offset, bytes };
  };
}
