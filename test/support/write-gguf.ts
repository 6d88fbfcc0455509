import { open } from 'node:fs/promises';

/** A value of a file's metadata; numbers say of which kind they are. */
export type GgufValue =
  | string
  | boolean
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

const VERSION = 3;
const ALIGNMENT = 32;
/** ggml's numbers of its types, and how many bytes a block of so many values takes. */
const types = {
  F32: { number: 0, values: 1, bytes: 4 },
  F16: { number: 1, values: 1, bytes: 2 },
  BF16: { number: 30, values: 1, bytes: 2 },
  Q4_0: { number: 2, values: 32, bytes: 18 },
  Q4_1: { number: 3, values: 32, bytes: 20 },
  Q5_0: { number: 6, values: 32, bytes: 22 },
  Q5_1: { number: 7, values: 32, bytes: 24 },
  Q8_0: { number: 8, values: 32, bytes: 34 },
  Q2_K: { number: 10, values: 256, bytes: 84 },
  Q4_K: { number: 12, values: 256, bytes: 144 },
  Q5_K: { number: 13, values: 256, bytes: 176 },
  Q6_K: { number: 14, values: 256, bytes: 210 },
} as const;
export type GgufTensorType = keyof typeof types;
const kinds = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

export interface GgufTensor {
  readonly name: string;
  /** The length of a row first. */
  readonly dims: readonly number[];
  readonly type: GgufTensorType;
  /** Made when it is written, so that one is held at a time. */
  readonly bytes: () => Uint8Array;
}

/** Writes a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const places: { readonly tensor: GgufTensor; readonly offset: number }[] = [];
  let end = 0;
  for (const tensor of tensors) {
    places.push({ tensor, offset: end });
    end = aligned(end + byteLength(tensor));
  }
  const head = Buffer.concat([
    ...[Buffer.from('GGUF'), u32(VERSION), u64(tensors.length), u64(Object.keys(metadata).length)],
    ...Object.entries(metadata).flatMap(([key, value]) => [text(key), ...valueBytes(value)]),
    ...places.flatMap(({ tensor: { name, dims, type }, offset }) => [
      ...[text(name), u32(dims.length), ...dims.map(u64), u32(types[type].number), u64(offset)],
    ]),
  ]);
  const begin = aligned(head.length);
  const file = await open(path, 'w');
  try {
    await file.truncate(begin + end);
    await file.write(head, 0, head.length, 0);
    for (const { tensor, offset } of places) {
      const bytes = tensor.bytes();
      if (bytes.length !== byteLength(tensor)) throw new Error(`${tensor.name} has ${bytes.length} bytes`);
      await file.write(bytes, 0, bytes.length, begin + offset);
    }
  } finally {
    await file.close();
  }
}

function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

function byteLength({ dims, type }: GgufTensor): number {
  const { values, bytes } = types[type];
  return (dims.reduce((all, dim) => all * dim, 1) / values) * bytes;
}

function valueBytes(value: GgufValue): Buffer[] {
  if (typeof value === 'string') return [u32(kinds.string), text(value)];
  if (typeof value === 'boolean') return [u32(kinds.bool), Buffer.from([Number(value)])];
  if ('u32' in value) return [u32(kinds.u32), u32(value.u32)];
  if ('f32' in value) return [u32(kinds.f32), f32(value.f32)];
  if ('strings' in value) {
    return [u32(kinds.array), u32(kinds.string), u64(value.strings.length), ...value.strings.map(text)];
  }
  if ('f32s' in value) return [u32(kinds.array), u32(kinds.f32), u64(value.f32s.length), ...value.f32s.map(f32)];
  return [u32(kinds.array), u32(kinds.i32), u64(value.i32s.length), ...value.i32s.map(u32)];
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}
