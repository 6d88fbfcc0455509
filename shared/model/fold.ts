import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { dequantize } from './dequantize.ts';
import { decodeF16 } from './f16.ts';
import { ggufMatrix } from './gguf-matrix.ts';
import { GGUF_GATHER, GGUF_MATMUL, ggufWeight, isGgufNode } from './gguf-weight.ts';
import { unfoldMatrix } from './packable-matrix.ts';
import { RESERVED_PREFIX } from './graph-index.ts';
import { createNode, intOf } from './node-attributes.ts';
import type { OnnxModel } from './onnx-file.ts';
import {
  quantizedWeight,
  readMatrix,
  toFloat32,
  weightFinder,
  weightKey,
  type FindWeight,
  type ReadWeight,
} from './quantized-weights.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32 } from './tensor-bytes.ts';
import { unfoldAttention } from './unfold-attention.ts';

export interface WeightFile {
  /** The `location` in the model's external data. */
  readonly path: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/**
 * How a folded product reads its matrix of [out, in]: as it is, by the FusedMatMul that the WASM backend has, or
 * transposed, by the MatMul that every backend has. For the WASM backend attention is taken apart as well.
 */
export type ProductForm = 'fused' | 'plain';

/**
 * Rewrites a model, in place, to float32: quantized weights and float16 are converted here, exactly, because the
 * WASM backend would convert them again in every run. `read` gives a weight's bytes. Returns the new weights as
 * external data, named with `prefix`; weights that were float32 already stay where they are.
 */
export function foldModel(
  model: OnnxModel,
  read: ReadWeight,
  form: ProductForm,
  prefix = RESERVED_PREFIX,
): WeightFile[] {
  const { graph } = model;
  if (form === 'fused') unfoldAttention(model);
  const files: WeightFile[] = [];
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const makers = new Map(graph.node.flatMap((node) => node.output.map((output) => [output, node] as const)));
  const find = weightFinder(graph);
  const addFile = (name: string, dims: readonly number[], values: Float32Array<ArrayBuffer>): string => {
    const data = new Uint8Array(values.buffer);
    const path = `${prefix}folded/${files.length}`;
    files.push({ path, data });
    weights.set(name, externalTensor(name, ONNX_FLOAT32, dims, path, 0, data.length));
    return name;
  };

  const gathered = new Set<string>();
  for (const node of graph.node) {
    if (isGather(node)) gathered.add(packedWeight(node, find).key);
  }
  const folded = new Map<string, string>();
  const foldWeight = ({ key, rows, columns, unfold }: PackedWeight, transposed: boolean): string => {
    let name = folded.get(`${transposed} ${key}`);
    if (name === undefined) {
      const dims = transposed ? [columns, rows] : [rows, columns];
      name = addFile(`${prefix}float/${folded.size}`, dims, unfold(read, transposed));
      folded.set(`${transposed} ${key}`, name);
    }
    return name;
  };

  graph.node = graph.node.flatMap((node): NodeProto[] => {
    const { name, output } = node;
    if (isGather(node)) {
      const table = foldWeight(packedWeight(node, find), false);
      return [createNode('Gather', { name, input: [table, node.input[1] ?? ''], output })];
    }
    if (node.opType === 'MatMulNBits' || node.opType === GGUF_MATMUL) {
      const weight = packedWeight(node, find);
      const rows = node.input[0] ?? '';
      if (form === 'fused') return [fusedProduct(node, rows, foldWeight(weight, false))];
      // A tied table is stored once, as the rows that the embedding reads.
      if (!gathered.has(weight.key)) {
        return [createNode('MatMul', { name, input: [rows, foldWeight(weight, true)], output })];
      }
      const turned = `${prefix}transposed/${name}`;
      return [
        createNode('Transpose', { name: turned, input: [foldWeight(weight, false)], output: [turned] }),
        createNode('MatMul', { name, input: [rows, turned], output }),
      ];
    }
    if (node.opType === 'MatMul' && form === 'fused') {
      const turned = makers.get(node.input[1] ?? '');
      const source = turned?.opType === 'Transpose' ? (turned.input[0] ?? '') : '';
      const cast = makers.get(source);
      const table = weights.get(cast?.opType === 'Cast' ? (cast.input[0] ?? '') : source);
      if (table?.dims.length === 2) return [fusedProduct(node, node.input[0] ?? '', table.name)];
    }
    return [node];
  });
  pruneNodes(model);

  for (const node of graph.node) floatAttributes(node);
  for (const value of [...graph.input, ...graph.output, ...graph.valueInfo]) floatValue(value);
  const used = new Set(graph.node.flatMap((node) => node.input));
  for (const tensor of [...weights.values()]) {
    if (!used.has(tensor.name) || tensor.dataType !== ONNX_FLOAT16) continue;
    if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL)
      addFile(tensor.name, tensor.dims.map(Number), toFloat32(tensor, read));
    else floatTensor(tensor);
  }
  graph.initializer = [...weights.values()].filter((tensor) => used.has(tensor.name));
  return files;
}

/** The weight of a node that holds it in blocks. */
interface PackedWeight {
  /** Same key, same matrix. */
  readonly key: string;
  readonly rows: number;
  readonly columns: number;
  readonly unfold: (read: ReadWeight, transposed: boolean) => Float32Array<ArrayBuffer>;
}

function isGather({ opType }: NodeProto): boolean {
  return opType === 'GatherBlockQuantized' || opType === GGUF_GATHER;
}

function packedWeight(node: NodeProto, find: FindWeight): PackedWeight {
  if (isGgufNode(node)) {
    const { tensor, type, rows, columns } = ggufWeight(node, find);
    const unfold: PackedWeight['unfold'] = (read, transposed) =>
      unfoldMatrix(ggufMatrix(type, read(tensor), rows, columns), transposed);
    return { key: tensor.name, rows, columns, unfold };
  }
  const weight = quantizedWeight(node, find);
  const { rows, columns } = weight;
  const unfold: PackedWeight['unfold'] = (read, transposed) => dequantize(readMatrix(weight, read), transposed);
  return { key: weightKey(weight), rows, columns, unfold };
}

/** x · tableᵀ for a table of [out, in]. */
function fusedProduct(node: NodeProto, rows: string, table: string): NodeProto {
  const { name, output } = node;
  return createNode('FusedMatMul', {
    name,
    domain: 'com.microsoft',
    input: [rows, table],
    output,
    attribute: [intOf('transB', 1)],
  });
}

/** A weight whose bytes lie in a file of their own. */
export function externalTensor(
  name: string,
  dataType: number,
  dims: readonly number[],
  path: string,
  offset: number,
  length: number,
): TensorProto {
  const entries = { location: path, offset: String(offset), length: String(length) };
  return create(TensorProtoSchema, {
    name,
    dataType,
    dims: dims.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
  });
}

/** Drops nodes that no output depends on; nodes are in order. */
function pruneNodes({ graph }: OnnxModel): void {
  const needed = new Set(graph.output.map((output) => output.name));
  const kept: NodeProto[] = [];
  for (const node of graph.node.toReversed()) {
    if (!node.output.some((output) => needed.has(output))) continue;
    kept.push(node);
    for (const input of node.input) needed.add(input);
  }
  graph.node = kept.reverse();
}

function floatAttributes(node: NodeProto): void {
  for (const attribute of node.attribute) {
    if (attribute.name === 'to' && attribute.i === BigInt(ONNX_FLOAT16)) attribute.i = BigInt(ONNX_FLOAT32);
    if (attribute.t?.dataType === ONNX_FLOAT16) floatTensor(attribute.t);
  }
}

function floatTensor(tensor: TensorProto): void {
  const halves = tensor.rawData.length > 0 ? tensor.rawData : new Uint8Array(Uint16Array.from(tensor.int32Data).buffer);
  if (halves.length % 2 !== 0)
    throw new ChorusError('bad-model', `the constant ${tensor.name.slice(0, 200)} has half a number`);
  tensor.rawData = new Uint8Array(decodeF16(halves).buffer);
  tensor.int32Data = [];
  tensor.dataType = ONNX_FLOAT32;
}

function floatValue(info: ValueInfoProto): void {
  const type = info.type?.value;
  if (type?.case === 'tensorType' && type.value.elemType === ONNX_FLOAT16) type.value.elemType = ONNX_FLOAT32;
}
