import { type TensorProto, TensorProto_DataLocation } from 'onnx-buf';
import { ChorusError } from '../errors.ts';
import { MAX_BLOB_BYTES } from '../limits.ts';
import type { TensorType } from './manifest.ts';

export const ONNX_FLOAT32 = 1;
export const ONNX_INT64 = 7;
export const ONNX_FLOAT16 = 10;

/** ONNX TensorProto.DataType and bits an element. */
const elements: ReadonlyMap<number, { type: TensorType; bits: number }> = new Map([
  [1, { type: 'float32', bits: 32 }],
  [2, { type: 'uint8', bits: 8 }],
  [3, { type: 'int8', bits: 8 }],
  [6, { type: 'int32', bits: 32 }],
  [7, { type: 'int64', bits: 64 }],
  [10, { type: 'float16', bits: 16 }],
  [21, { type: 'uint4', bits: 4 }],
  [22, { type: 'int4', bits: 4 }],
]);

/** The tensor's element type. Throws `unsupported-model` for those that no weight of the builder family has. */
export function tensorType(tensor: TensorProto): TensorType {
  const element = elements.get(tensor.dataType);
  if (element) return element.type;
  throw new ChorusError(
    'unsupported-model',
    `the weight ${tensor.name.slice(0, 200)} has the element type ${tensor.dataType}`,
  );
}

/** Shape as numbers. Throws `bad-model` if there are more than 8, or one is negative, or their product is absurd. */
export function tensorDims(tensor: TensorProto): number[] {
  const dims = tensor.dims.map(Number);
  const product = dims.reduce((all, dim) => all * dim, 1);
  if (dims.length > 8 || dims.some((dim) => dim < 0 || dim > 2 ** 31) || product > 2 * MAX_BLOB_BYTES) {
    throw new ChorusError('bad-model', `the weight ${tensor.name.slice(0, 200)} has an absurd shape`);
  }
  return dims;
}

/** Bytes that a tensor of this type and shape takes, packed. */
export function tensorByteLength(tensor: TensorProto): number {
  tensorType(tensor);
  const count = tensorDims(tensor).reduce((all, dim) => all * dim, 1);
  return Math.ceil((count * (elements.get(tensor.dataType)?.bits ?? 0)) / 8);
}

export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  /** Absent means: to the end of the file. */
  readonly length: number | null;
}

/** Where the tensor's bytes lie outside the graph; null if they are inside. Throws `bad-model` on malformed entries. */
export function externalData(tensor: TensorProto): ExternalData | null {
  if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) return null;
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const location = entries.get('location') ?? '';
  const offset = wholeNumber(entries.get('offset') ?? '0');
  const length = entries.has('length') ? wholeNumber(entries.get('length')!) : null;
  if (location === '' || offset === null || (entries.has('length') && length === null)) {
    throw new ChorusError('bad-model', `the weight ${tensor.name.slice(0, 200)} has malformed external data`);
  }
  return { location, offset, length };
}

function wholeNumber(text: string): number | null {
  const value = Number(text);
  return /^\d{1,15}$/.test(text) && Number.isSafeInteger(value) ? value : null;
}
