import type { GraphProto, NodeProto, TensorProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { unpackRows, type BlockMatrix } from './dequantize.ts';
import { decodeF16 } from './f16.ts';
import { intAttribute } from './node-attributes.ts';
import { describeNode } from './operators.ts';
import { ONNX_FLOAT16, ONNX_FLOAT32, tensorDims, tensorType } from './tensor-bytes.ts';

/** A weight by value name, also where the graph reshapes it first. */
export type FindWeight = (value: string) => TensorProto | undefined;
export type ReadWeight = (tensor: TensorProto) => Uint8Array;

/** Looks weights up in a graph, through the Reshape that a tied table has on the way to one of its readers. */
export function weightFinder(graph: GraphProto): FindWeight {
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const makers = new Map(graph.node.flatMap((node) => node.output.map((output) => [output, node] as const)));
  return (value) => {
    const maker = makers.get(value);
    return weights.get(maker?.opType === 'Reshape' ? (maker.input[0] ?? '') : value);
  };
}

/** The weight of a node with quantized weights: which tensors it is made of, and how. */
export interface QuantizedWeight {
  readonly quants: TensorProto;
  readonly scales: TensorProto;
  readonly zeroPoints: TensorProto | null;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
}

/** Same key, same matrix: a tied table is read by two nodes. */
export function weightKey(weight: QuantizedWeight): string {
  const { quants, scales, zeroPoints, rows, columns, bits, blockSize } = weight;
  return JSON.stringify([quants.name, scales.name, zeroPoints?.name, rows, columns, bits, blockSize]);
}

/**
 * The weight of a MatMulNBits (y = x · matrixᵀ) or GatherBlockQuantized (rows of the matrix) node.
 * Throws `unsupported-model` for inputs beyond weight, scales and zero points, `bad-model` if sizes do not fit.
 */
export function quantizedWeight(node: NodeProto, find: FindWeight): QuantizedWeight {
  const isMatMul = node.opType === 'MatMulNBits';
  const [quantsName, scalesName, zeroPointsName] = isMatMul
    ? node.input.slice(1)
    : [node.input[0], ...node.input.slice(2)];
  const quants = find(quantsName ?? '');
  const scales = find(scalesName ?? '');
  const zeroPoints = zeroPointsName ? find(zeroPointsName) : null;
  if (quants === undefined || scales === undefined || zeroPoints === undefined) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: its quantized weight is not constant`);
  }
  if (node.input.slice(4).some((name) => name !== '')) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: group indices and biases are not supported`);
  }
  const bits = intAttribute(node, 'bits', 4);
  const blockSize = intAttribute(node, 'block_size', isMatMul ? 0 : 128);
  if ((bits !== 4 && bits !== 8) || blockSize < 16 || blockSize > 1024 || (blockSize & (blockSize - 1)) !== 0) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: ${bits} bits in blocks of ${blockSize}`);
  }
  if (isMatMul) {
    const [rows, columns] = [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)];
    if (columns % blockSize !== 0)
      throw new ChorusError('unsupported-model', `${describeNode(node)}: ${columns} columns are no whole blocks`);
    return checkSizes(node, { quants, scales, zeroPoints, rows, columns, bits, blockSize });
  }
  if (intAttribute(node, 'gather_axis', 0) !== 0 || !isLast(intAttribute(node, 'quantize_axis', 1))) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: gathers or quantizes along other axes`);
  }
  const count = tensorDims(scales).reduce((all, dim) => all * dim, 1);
  const total = count * blockSize;
  const rows =
    tensorDims(scales).length === 2 ? tensorDims(scales)[0]! : count / (total / tensorDims(quants)[0]! / blockSize);
  return checkSizes(node, { quants, scales, zeroPoints, rows, columns: total / rows, bits, blockSize });
}

function isLast(axis: number): boolean {
  return axis === 1 || axis === -1;
}

function checkSizes(node: NodeProto, weight: QuantizedWeight): QuantizedWeight {
  const { quants, scales, zeroPoints, rows, columns, bits, blockSize } = weight;
  if (!['uint8', `uint${bits}`, `int${bits}`].includes(tensorType(quants))) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: ${bits} bits as ${tensorType(quants)}`);
  }
  const count = (tensor: TensorProto) => tensorDims(tensor).reduce((all, dim) => all * dim, 1);
  const blocks = columns / blockSize;
  const packed = tensorType(quants) === 'uint8' ? (rows * columns * bits) / 8 : rows * columns;
  const zeroCount = zeroPoints === null ? null : count(zeroPoints);
  const packedZeros =
    zeroPoints !== null && tensorType(zeroPoints) === 'uint8' ? rows * Math.ceil((blocks * bits) / 8) : rows * blocks;
  const fits =
    rows >= 1 && Number.isInteger(rows) && Number.isInteger(blocks) && blocks >= 1 && rows * columns < 2 ** 31;
  if (
    !fits ||
    count(quants) !== packed ||
    count(scales) !== rows * blocks ||
    (zeroCount !== null && zeroCount !== packedZeros)
  ) {
    throw new ChorusError(
      'bad-model',
      `${describeNode(node)}: the sizes of its weight, scales and zero points do not fit together`,
    );
  }
  return weight;
}

/** The weight's numbers. */
export function readMatrix(weight: QuantizedWeight, read: ReadWeight): BlockMatrix {
  const { quants, scales, zeroPoints, rows, columns, bits, blockSize } = weight;
  const type = tensorType(quants);
  return {
    rows,
    columns,
    bits,
    blockSize,
    quants: read(quants),
    rowBytes: (columns * bits) / 8,
    signed: type === 'int4' || type === 'int8',
    scales: toFloat32(scales, read),
    // Without zero points, packed bytes are offset by half their range; real 4-bit types are not (onnxruntime's contrib operators).
    zeroPoints:
      zeroPoints === null
        ? type === 'uint8'
          ? 1 << (bits - 1)
          : 0
        : readZeroPoints(zeroPoints, read, rows, columns / blockSize, bits),
  };
}

function readZeroPoints(
  tensor: TensorProto,
  read: ReadWeight,
  rows: number,
  perRow: number,
  bits: 4 | 8,
): Uint8Array | Float32Array {
  const type = tensorType(tensor);
  if (type === 'uint8') return unpackRows(read(tensor), bits, rows, perRow);
  if (type === 'uint4') return unpackRows(read(tensor), 4, 1, rows * perRow);
  if (type === 'float32' || type === 'float16') return toFloat32(tensor, read);
  throw new ChorusError('unsupported-model', `the zero points ${tensor.name.slice(0, 200)} have the type ${type}`);
}

/** A float weight's values as f32, exact. */
export function toFloat32(tensor: TensorProto, read: ReadWeight): Float32Array<ArrayBuffer> {
  const bytes = read(tensor);
  if (tensor.dataType === ONNX_FLOAT16) return decodeF16(bytes);
  if (tensor.dataType === ONNX_FLOAT32) return new Float32Array(new Uint8Array(bytes).buffer);
  throw new ChorusError('bad-model', `the weight ${tensor.name.slice(0, 200)} is no float`);
}
