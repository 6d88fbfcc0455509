import type { NodeProto, TensorProto } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { intAttribute } from './node-attributes.ts';
import { describeNode } from './operators.ts';
import type { FindWeight } from './quantized-weights.ts';
import { tensorDims, tensorType } from './tensor-bytes.ts';

/** Block-quantized types of GGUF that the engine has products for. */
export type GgufType = 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K';

/** Bytes and columns of a block of each type. A tensor's rows are whole blocks, one after the other. */
export const GGUF_BLOCKS: Readonly<Record<GgufType, { readonly bytes: number; readonly columns: number }>> = {
  Q4_0: { bytes: 18, columns: 32 },
  Q4_1: { bytes: 20, columns: 32 },
  Q5_0: { bytes: 22, columns: 32 },
  Q5_1: { bytes: 24, columns: 32 },
  Q8_0: { bytes: 34, columns: 32 },
  Q4_K: { bytes: 144, columns: 256 },
  Q5_K: { bytes: 176, columns: 256 },
  Q6_K: { bytes: 210, columns: 256 },
};

export function isGgufType(name: string): name is GgufType {
  return Object.hasOwn(GGUF_BLOCKS, name);
}

/** The domain of our own operators, which no inference runtime has. */
export const GGUF_DOMAIN = 'chorus';
/** y = x · matrixᵀ of `(x, blocks)`, with the attributes N, K and `type`. */
export const GGUF_MATMUL = 'GgufMatMul';
/** Rows of the matrix of `(blocks, ids)`, with the same attributes. */
export const GGUF_GATHER = 'GgufGather';

/** A matrix in a GGUF file's own blocks, row after row, as uint8 [rows, bytes of a row]. */
export interface GgufWeight {
  readonly tensor: TensorProto;
  readonly type: GgufType;
  readonly rows: number;
  readonly columns: number;
}

export function isGgufNode({ opType }: NodeProto): boolean {
  return opType === GGUF_MATMUL || opType === GGUF_GATHER;
}

/** Columns of a block of such a node's weight; 0 for a type that is not known. */
export function ggufBlockColumns(node: NodeProto): number {
  const type = typeOf(node);
  return isGgufType(type) ? GGUF_BLOCKS[type].columns : 0;
}

function typeOf({ attribute }: NodeProto): string {
  return new TextDecoder().decode(attribute.find(({ name }) => name === 'type')?.s ?? new Uint8Array());
}

/** The weight of such a node. Throws `unsupported-model` for a type that is none of ours, `bad-model` if sizes do not fit. */
export function ggufWeight(node: NodeProto, find: FindWeight): GgufWeight {
  const tensor = find(node.input[node.opType === GGUF_MATMUL ? 1 : 0] ?? '');
  const type = typeOf(node);
  if (tensor === undefined || !isGgufType(type)) {
    throw new ChorusError('unsupported-model', `${describeNode(node)}: its weight is in no blocks that are known here`);
  }
  const [rows, columns] = [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)];
  const block = GGUF_BLOCKS[type];
  const rowBytes = (columns / block.columns) * block.bytes;
  const dims = tensorDims(tensor);
  const fits = rows >= 1 && columns >= 1 && Number.isInteger(columns / block.columns) && rows * columns < 2 ** 31;
  if (!fits || tensorType(tensor) !== 'uint8' || dims.join() !== `${rows},${rowBytes}`) {
    throw new ChorusError('bad-model', `${describeNode(node)}: its bytes are no ${type} of ${rows} × ${columns}`);
  }
  return { tensor, type, rows, columns };
}
