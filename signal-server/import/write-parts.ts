import type { TensorProto } from 'onnx-buf';
import { ChorusError } from '#shared/errors.ts';
import { MAX_BLOB_BYTES } from '#shared/limits.ts';
import type { Anatomy } from '#shared/model/anatomy.ts';
import { externalTensor } from '#shared/model/fold.ts';
import { sortNodes } from '#shared/model/graph-index.ts';
import type { Part } from '#shared/model/manifest.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';
import { tensorByteLength, tensorDims, tensorType } from '#shared/model/tensor-bytes.ts';
import type { BlobWriter } from './blob-writer.ts';
import type { GraphFile } from './graph-file.ts';
import { planParts } from './split-parts.ts';

const WEIGHT_ALIGNMENT = 64;

/** A way to a model's weights. */
export type WeightsToWrite = Pick<GraphFile, 'read' | 'relativeError'>;

/**
 * Writes one blob a part, a weight at a time, and makes every weight of `anatomy`'s graph point into it. Throws `bad-model` for a
 * part that is larger than a blob may be, before it reads any of it: many weights may point at the same bytes of a file.
 */
export async function writeParts(
  anatomy: Anatomy,
  { read, relativeError }: WeightsToWrite,
  writer: BlobWriter,
  onProgress: (done: number, total: number, name: string) => void,
): Promise<Part[]> {
  const { parts: planned, inline } = planParts(anatomy);
  const written: Part[] = [];
  const external: TensorProto[] = [];
  for (const [done, { name, weights, uses }] of planned.entries()) {
    onProgress(done, planned.length, name);
    const offsets: number[] = [];
    let length = 0;
    for (const weight of weights) {
      offsets.push(length);
      length += paddedLength(weight);
    }
    if (length > MAX_BLOB_BYTES) throw new ChorusError('bad-model', `${name} with its ${length} bytes is too large`);
    const blob = await writer.writeAll(weightsInOrder(weights, read));
    const listed = weights.map((tensor, i) => {
      const error = relativeError(tensor.name);
      return {
        name: tensor.name,
        type: tensorType(tensor),
        dims: tensorDims(tensor),
        offset: offsets[i]!,
        bytes: tensorByteLength(tensor),
        ...(error !== null && { relativeError: error }),
      };
    });
    for (const [i, { dims, offset, bytes }] of listed.entries()) {
      const { name: weight, dataType } = weights[i]!;
      external.push(externalTensor(weight, dataType, dims, blob.digest, offset, bytes));
    }
    written.push({ name, blob, weights: listed, uses });
  }
  const { graph } = anatomy.index.model;
  // Nodes that nothing reads any more, such as the reshaping of positions, may read weights that no part has.
  graph.node = sortNodes(anatomy.index, anatomy.index.outputs.keys());
  graph.initializer = [...inline, ...external];
  return written;
}

function paddedLength(weight: TensorProto): number {
  return Math.ceil(tensorByteLength(weight) / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT;
}

function* weightsInOrder(weights: readonly TensorProto[], read: ReadWeight): Generator<Uint8Array> {
  for (const weight of weights) {
    const bytes = tensorByteLength(weight);
    yield read(weight).subarray(0, bytes);
    yield new Uint8Array(paddedLength(weight) - bytes);
  }
}
