import { open } from 'node:fs/promises';
import { decodeF16 } from '#shared/model/f16.ts';
import { ggufMatrix } from '#shared/model/gguf-matrix.ts';
import { isGgufType } from '#shared/model/gguf-weight.ts';
import { unfoldMatrix } from '#shared/model/packable-matrix.ts';
import { openGguf, type GgufFile, type GgufTensor } from '../../../signal-server/import/gguf/gguf-file.ts';

const ALIGNMENT = 32;

/** Writes a GGUF file once more with every tensor as F32, each number as the file's blocks say. */
export async function unfoldGguf(from: string, to: string): Promise<void> {
  const file = await openGguf(from);
  const source = await open(from, 'r');
  const target = await open(to, 'w');
  try {
    const tensors = [...file.tensors.values()];
    const head = Buffer.alloc(Math.min(...tensors.map(({ offset }) => offset)));
    await source.read(head, 0, head.length, 0);
    // What is said of the tensors begins with the first one's name; what the file says of the model lies before it.
    const begin = Math.min(...tensors.map((tensor) => head.indexOf(nameAndDims(tensor))).filter((at) => at >= 0));
    let end = 0;
    const infos = tensors.map((tensor) => {
      const offset = Buffer.alloc(12);
      offset.writeBigUInt64LE(BigInt(end), 4);
      end += Math.ceil((4 * valuesOf(tensor)) / ALIGNMENT) * ALIGNMENT;
      return Buffer.concat([nameAndDims(tensor), offset]);
    });
    const written = Buffer.concat([head.subarray(0, begin), ...infos]);
    const data = Math.ceil(written.length / ALIGNMENT) * ALIGNMENT;
    await target.truncate(data + end);
    await target.write(written, 0, written.length, 0);
    let at = data;
    for (const tensor of tensors) {
      const bytes = floatsOf(file, tensor);
      await target.write(bytes, 0, bytes.length, at);
      at += Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    }
  } finally {
    await target.close();
    await source.close();
    file.close();
  }
}

function floatsOf(file: GgufFile, tensor: GgufTensor): Uint8Array {
  const bytes = file.read(tensor);
  if (tensor.type === 'F32') return bytes;
  if (tensor.type === 'F16') return new Uint8Array(decodeF16(bytes).buffer);
  if (isGgufType(tensor.type)) {
    const columns = tensor.dims.at(-1)!;
    return new Uint8Array(
      unfoldMatrix(ggufMatrix(tensor.type, bytes, valuesOf(tensor) / columns, columns), false).buffer,
    );
  }
  throw new Error(`${tensor.name} is ${tensor.type}`);
}

function valuesOf({ dims }: GgufTensor): number {
  return dims.reduce((all, dim) => all * dim, 1);
}

function nameAndDims({ name, dims }: GgufTensor): Buffer {
  const text = Buffer.from(name);
  const bytes = Buffer.alloc(8 + text.length + 4 + 8 * dims.length);
  bytes.writeBigUInt64LE(BigInt(text.length), 0);
  text.copy(bytes, 8);
  bytes.writeUInt32LE(dims.length, 8 + text.length);
  for (const [i, dim] of dims.toReversed().entries()) bytes.writeBigUInt64LE(BigInt(dim), 12 + text.length + 8 * i);
  return bytes;
}
