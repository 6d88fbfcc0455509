import type { GraphProto, NodeProto, TensorProto } from 'onnx-buf';
import { intAttribute } from '../node-attributes.ts';
import { externalData, ONNX_FLOAT16, ONNX_FLOAT32, ONNX_INT64, tensorDims } from '../tensor-bytes.ts';

/** Values of a graph that are the same for all rows: its weights, and what Constant nodes hold. */
export class GraphConstants {
  readonly #makers: ReadonlyMap<string, NodeProto>;
  readonly #weights: ReadonlyMap<string, TensorProto>;

  constructor({ initializer }: GraphProto, makers: ReadonlyMap<string, NodeProto>) {
    this.#makers = makers;
    this.#weights = new Map(initializer.map((tensor) => [tensor.name, tensor]));
  }

  weight(name: string): TensorProto | undefined {
    return this.#weights.get(name);
  }

  /** A weight, also through one Cast between floats. */
  matrix(name: string): TensorProto | undefined {
    const maker = this.#makers.get(name);
    return this.#weights.get(maker?.opType === 'Cast' && castsToFloat(maker) ? (maker.input[0] ?? '') : name);
  }

  /** A weight or a Constant node's value, also through one Cast between floats, which leaves its numbers as they are. */
  find(name: string): TensorProto | undefined {
    const maker = this.#makers.get(name);
    if (maker?.opType !== 'Cast') return this.#uncast(name);
    const tensor = this.#uncast(maker.input[0] ?? '');
    return tensor !== undefined && isFloat(tensor.dataType) && castsToFloat(maker) ? tensor : undefined;
  }

  /** The numbers of an int64 constant that lies inside the graph. */
  integers(name: string): number[] | null {
    const tensor = this.find(name);
    if (tensor === undefined || tensor.dataType !== ONNX_INT64) return null;
    const count = elementCount(tensor);
    if (tensor.int64Data.length > 0) return tensor.int64Data.length === count ? tensor.int64Data.map(Number) : null;
    const { rawData } = tensor;
    if (rawData.length !== 8 * count) return null;
    const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.length);
    return Array.from({ length: count }, (_, i) => Number(view.getBigInt64(8 * i, true)));
  }

  #uncast(name: string): TensorProto | undefined {
    const maker = this.#makers.get(name);
    return maker === undefined ? this.#weights.get(name) : heldBy(maker);
  }
}

/** The tensor of a Constant node, where its numbers can be read as a weight's are. */
function heldBy(node: NodeProto): TensorProto | undefined {
  if (node.opType !== 'Constant') return undefined;
  const tensor = node.attribute.find((attribute) => attribute.name === 'value')?.t;
  if (tensor === undefined || externalData(tensor) !== null) return undefined;
  if (tensor.dataType === ONNX_INT64) return tensor;
  const width = tensor.dataType === ONNX_FLOAT16 ? 2 : 4;
  return isFloat(tensor.dataType) && tensor.rawData.length === width * elementCount(tensor) ? tensor : undefined;
}

export function castsToFloat(node: NodeProto): boolean {
  return isFloat(intAttribute(node, 'to', 0));
}

export function isFloat(dataType: number): boolean {
  return dataType === ONNX_FLOAT32 || dataType === ONNX_FLOAT16;
}

export function elementCount(tensor: TensorProto): number {
  return tensorDims(tensor).reduce((product, dim) => product * dim, 1);
}
