import { create } from '@bufbuild/protobuf';
import { TensorProtoSchema, type NodeProto, type TensorProto } from 'onnx-buf';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { LOGITS, TOKENS } from '#shared/model/anatomy.ts';
import { stageParts } from '#shared/model/cut.ts';
import { externalTensor } from '#shared/model/fold.ts';
import { ggufWeight, isGgufNode } from '#shared/model/gguf-weight.ts';
import type { BlobRef, Manifest, Weight } from '#shared/model/manifest.ts';
import { dropAttribute, intOf } from '#shared/model/node-attributes.ts';
import { decodeModel, encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { quantizedWeight, weightFinder } from '#shared/model/quantized-weights.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { ONNX_INT64, tensorDims } from '#shared/model/tensor-bytes.ts';

/** Rows of the tables that follow one another. */
export interface TableRows {
  readonly from: number;
  readonly count: number;
}

/** A model that differs from another in that its vocabulary is some rows of that one's tables. */
export interface WindowedModel {
  readonly manifest: Manifest;
  readonly graph: Uint8Array<ArrayBuffer>;
  readonly blobs: Map<string, Uint8Array<ArrayBuffer>>;
}

/** Bytes of a blob, from `offset` on. */
export type ReadBlob = (blob: BlobRef, offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>;

/** On the way from the product with the head to the logits, each value made of one before it. */
const passing = new Set(['Cast', 'Identity']);

/**
 * The model of an embedding or a head alone, as it is with no more of the vocabulary than `runs` of rows, so that a large table is
 * never there whole. Null where the graph holds its table in a form whose rows do not lie one after the other.
 */
export async function windowModel(
  draft: Manifest,
  graph: Uint8Array,
  range: StageRange,
  runs: readonly TableRows[],
  readBlob: ReadBlob,
): Promise<WindowedModel | null> {
  const { vocabularySize } = draft.config;
  const model = decodeModel(graph);
  const count = runs.reduce((sum, run) => sum + run.count, 0);
  const tables = narrowTables(model, range, vocabularySize, count);
  if (tables === null) return null;
  const tensors = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
  const used = stageParts(draft, range);
  const parts: Manifest['parts'] = [];
  for (const part of draft.parts) {
    if (!used.includes(part)) {
      parts.push(part);
      continue;
    }
    const pieces: { weight: Weight; bytes: Uint8Array }[] = [];
    for (const weight of part.weights) {
      const { name, offset, bytes } = weight;
      const table = tables.get(name);
      const rowBytes = bytes / vocabularySize;
      if (table !== undefined && !Number.isInteger(rowBytes)) return null;
      const read =
        table === undefined
          ? [await readBlob(part.blob, offset, bytes)]
          : await Promise.all(
              runs.map((run) => readBlob(part.blob, offset + run.from * rowBytes, run.count * rowBytes)),
            );
      pieces.push({ weight: { ...weight, ...(table && { dims: table }) }, bytes: Buffer.concat(read) });
    }
    const data = new Uint8Array(Buffer.concat(pieces.map(({ bytes }) => bytes)));
    const digest = digestOf(utf8(`${part.blob.digest} of ${JSON.stringify(runs)}`));
    let end = 0;
    const weights = pieces.map(({ weight, bytes }) => {
      const placed = { ...weight, offset: end, bytes: bytes.length };
      end += bytes.length;
      const { dataType } = tensors.get(weight.name)!;
      tensors.set(weight.name, externalTensor(weight.name, dataType, weight.dims, digest, placed.offset, placed.bytes));
      return placed;
    });
    blobs.set(digest, data);
    parts.push({ ...part, weights, blob: { digest, bytes: data.length, pieces: [] } });
  }
  model.graph.initializer = [...tensors.values()];
  const manifest = { ...draft, parts, config: { ...draft.config, vocabularySize: count } };
  return { manifest, graph: encodeModel(model), blobs };
}

/** Makes the one node that reads a table read `count` rows; answers the shapes that its weights then have, by their names. */
function narrowTables(
  model: OnnxModel,
  range: StageRange,
  vocabularySize: number,
  count: number,
): Map<string, number[]> | null {
  const makers = new Map(model.graph.node.flatMap((node) => node.output.map((output) => [output, node] as const)));
  const node = range.head ? headProduct(makers) : model.graph.node.find((each) => each.input[1] === TOKENS);
  if (node === undefined) return null;
  const weights = tableWeights(model, node, makers);
  if (weights === null) return null;
  const shapes = new Map<string, number[]>();
  for (const tensor of weights) {
    const dims = tensorDims(tensor);
    if (dims[0] === undefined || dims[0] % vocabularySize !== 0) return null;
    shapes.set(tensor.name, [(dims[0] / vocabularySize) * count, ...dims.slice(1)]);
  }
  for (const input of node.input) {
    const maker = makers.get(input);
    if (maker?.opType !== 'Reshape' || !shapes.has(maker.input[0] ?? '')) continue;
    const name = `${input}/window`;
    const shape = narrowShape(model, maker, vocabularySize, count);
    if (shape === null) return null;
    model.graph.initializer.push(int64Constant(name, shape));
    maker.input[1] = name;
  }
  if (node.opType === 'MatMulNBits' || isGgufNode(node)) {
    dropAttribute(node, 'N');
    node.attribute.push(intOf('N', count));
  }
  return shapes;
}

function headProduct(makers: ReadonlyMap<string, NodeProto>): NodeProto | undefined {
  let node = makers.get(LOGITS);
  while (node !== undefined && passing.has(node.opType)) node = makers.get(node.input[0] ?? '');
  return node;
}

/** The weights that such a node reads, rows of the vocabulary first; null for other nodes. */
function tableWeights(
  model: OnnxModel,
  node: NodeProto,
  makers: ReadonlyMap<string, NodeProto>,
): readonly TensorProto[] | null {
  const find = weightFinder(model.graph);
  if (node.opType === 'MatMulNBits' || node.opType === 'GatherBlockQuantized') {
    const { quants, scales, zeroPoints } = quantizedWeight(node, find);
    return [quants, scales, ...(zeroPoints === null ? [] : [zeroPoints])];
  }
  if (isGgufNode(node)) return [ggufWeight(node, find).tensor];
  const weights = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  let table = node.opType === 'Gather' ? node.input[0] : undefined;
  if (node.opType === 'MatMul') {
    const turned = makers.get(node.input[1] ?? '');
    table = turned?.opType === 'Transpose' ? turned.input[0] : undefined;
    const cast = makers.get(table ?? '');
    if (cast?.opType === 'Cast') table = cast.input[0];
  }
  const tensor = weights.get(table ?? '');
  return tensor?.dims.length === 2 ? [tensor] : null;
}

/** The shape that a Reshape gives, with `count` rows in place of the vocabulary's. */
function narrowShape(model: OnnxModel, reshape: NodeProto, vocabularySize: number, count: number): number[] | null {
  const shape = model.graph.initializer.find(({ name }) => name === reshape.input[1]);
  if (shape === undefined || shape.rawData.length % 8 !== 0) return null;
  const dims = [...new BigInt64Array(shape.rawData.slice().buffer)].map(Number);
  const [rows = 0, ...others] = dims;
  if (rows < 1 || rows % vocabularySize !== 0) return null;
  return [(rows / vocabularySize) * count, ...others];
}

function int64Constant(name: string, values: readonly number[]): TensorProto {
  const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return create(TensorProtoSchema, { name, dataType: ONNX_INT64, dims: [BigInt(values.length)], rawData });
}
