import { writeFile } from 'node:fs/promises';
import { encodeF16 } from '#shared/model/f16.ts';

export type FloatType = 'F32' | 'F16' | 'BF16';

export interface WrittenTensor {
  readonly name: string;
  readonly type: FloatType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor of these numbers, rounded to the type; bf16 by leaving lower bits out. */
export function tensorOf(name: string, type: FloatType, dims: readonly number[], values: Float32Array): WrittenTensor {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bytes = {
    F32: () => new Uint8Array(values.slice().buffer),
    F16: () => encodeF16(values),
    BF16: () => new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer),
  }[type]();
  return { name, type, dims, bytes };
}

/** The bytes of a safetensors file; `header` stands in for the one that belongs to the tensors. */
export function safetensorsBytes(tensors: readonly WrittenTensor[], header?: string): Uint8Array<ArrayBuffer> {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, type, dims, bytes } of tensors) {
    entries[name] = { dtype: type, shape: dims, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const text = Buffer.from(header ?? JSON.stringify(entries));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return new Uint8Array(Buffer.concat([length, text, ...tensors.map(({ bytes }) => bytes)]));
}

export function writeSafetensors(path: string, tensors: readonly WrittenTensor[]): Promise<void> {
  return writeFile(path, safetensorsBytes(tensors));
}
