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
import { planParts } from './split-parts.ts';

const WEIGHT_ALIGNMENT = 64;

/**
 * Writes one blob a part and makes every weight of `anatomy`'s graph point into it. Throws `bad-model` for a part that
 * is larger than a blob may be, before it reads any of it: many weights may point at the same bytes of a file.
 */
export async function writeParts(
  anatomy: Anatomy,
  read: ReadWeight,
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
      length += Math.ceil(tensorByteLength(weight) / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT;
    }
    if (length > MAX_BLOB_BYTES) throw new ChorusError('bad-model', `${name} with its ${length} bytes is too large`);
    const data = weights.map(read);
    const bytes = new Uint8Array(length);
    for (const [i, weight] of data.entries()) bytes.set(weight, offsets[i]);
    const blob = await writer.write(bytes);
    for (const [i, tensor] of weights.entries()) {
      external.push(
        externalTensor(tensor.name, tensor.dataType, tensorDims(tensor), blob.digest, offsets[i]!, data[i]!.length),
      );
    }
    const listed = weights.map((tensor, i) => {
      return {
        name: tensor.name,
        type: tensorType(tensor),
        dims: tensorDims(tensor),
        offset: offsets[i]!,
        bytes: data[i]!.length,
      };
    });
    written.push({ name, blob, weights: listed, uses });
  }
  const { graph } = anatomy.index.model;
  // Nodes that nothing reads any more, such as the reshaping of positions, may read weights that no part has.
  graph.node = sortNodes(anatomy.index, anatomy.index.outputs.keys());
  graph.initializer = [...inline, ...external];
  return written;
}
