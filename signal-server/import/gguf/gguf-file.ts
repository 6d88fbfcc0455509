import { gguf, GGMLQuantizationType } from '@huggingface/gguf';
import { ChorusError } from '#shared/errors.ts';
import { MAX_BLOB_BYTES } from '#shared/limits.ts';
import { GGUF_BLOCKS, isGgufType, type GgufType } from '#shared/model/gguf-weight.ts';
import { openPlainFile } from '../../machine/plain-file.ts';

/** Vocabulary and merges of the largest models take about 16 MB. */
const MAX_HEADER_BYTES = 32 * 2 ** 20;
const MAX_TENSORS = 16_384;
/** A file's header is read in pieces of 2 MB; one more is asked for than the file has. */
const MOST_BEYOND = 4 * 10 ** 6;

export type GgufTensorType = GgufType | 'F32' | 'F16' | 'BF16';
const FLOAT_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufTensorType;
  /** A row's length last, as everywhere but in the file. */
  readonly dims: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

/** A GGUF file with its header read. */
export interface GgufFile {
  /** As it was in the file: nothing of it is checked. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Throws `bad-model` if the file shrank. */
  read(tensor: GgufTensor): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Opens a plain file, of which everything may be hostile. Throws `bad-model`, `unsupported-model` for types and versions that are not read. */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = openPlainFile(path);
  try {
    const { metadata, tensors } = await readHeader(file.readAt, file.size);
    return {
      metadata,
      tensors,
      read: ({ offset, bytes }) => {
        const data = file.readAt(offset, bytes);
        if (data.length !== bytes) throw new ChorusError('bad-model', 'the GGUF file shrank while it was read');
        return data;
      },
      close: file.close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Header of a file of `size` bytes. Throws as `openGguf`. */
export async function readHeader(
  readAt: (offset: number, length: number) => Uint8Array<ArrayBuffer>,
  size: number,
): Promise<Pick<GgufFile, 'metadata' | 'tensors'>> {
  const parsed = await parseHeader(readAt, size);
  if (!parsed.littleEndian || parsed.metadata.version < 2)
    throw new ChorusError('unsupported-model', 'the GGUF file is big-endian or of version 1; convert it anew');
  const metadata = new Map<string, unknown>(Object.entries(parsed.metadata));
  if (parsed.tensorInfos.length > MAX_TENSORS)
    throw new ChorusError('bad-model', `the GGUF file has more than ${MAX_TENSORS} tensors`);
  const begin = Number(parsed.tensorDataOffset);
  const tensors = new Map<string, GgufTensor>();
  for (const { name, shape, dtype, offset } of parsed.tensorInfos) {
    const label = name.slice(0, 200);
    if (tensors.has(name)) throw new ChorusError('bad-model', `the GGUF file has the tensor ${label} twice`);
    const type = typeNamed(GGMLQuantizationType[dtype]);
    if (type === null) {
      const said = GGMLQuantizationType[dtype] ?? `type ${dtype}`;
      throw new ChorusError('unsupported-model', `the tensor ${label} is ${said}; ${KNOWN} are read`);
    }
    const dims = shape.map(Number).reverse();
    const bytes = tensorBytes(type, dims);
    const at = begin + Number(offset);
    if (bytes === null || bytes > MAX_BLOB_BYTES || !Number.isSafeInteger(at) || at < 0 || at + bytes > size)
      throw new ChorusError('bad-model', `the tensor ${label} does not fit its GGUF file`);
    tensors.set(name, { name, type, dims, offset: at, bytes });
  }
  return { metadata, tensors };
}

const KNOWN = [...Object.keys(FLOAT_BYTES), ...Object.keys(GGUF_BLOCKS)].join(', ');

function typeNamed(name: string | undefined): GgufTensorType | null {
  if (name === undefined) return null;
  return isGgufType(name) || Object.hasOwn(FLOAT_BYTES, name) ? (name as GgufTensorType) : null;
}

/** Null for a shape that no tensor of the type has. */
function tensorBytes(type: GgufTensorType, dims: readonly number[]): number | null {
  const count = dims.reduce((all, dim) => all * dim, 1);
  if (dims.length < 1 || dims.length > 4 || count < 1 || count > 2 ** 33) return null;
  if (!isGgufType(type)) return count * FLOAT_BYTES[type];
  const { bytes, columns } = GGUF_BLOCKS[type];
  return dims.at(-1)! % columns === 0 ? (count / columns) * bytes : null;
}

/** The library reads what lies behind an address; here that is the head of this file, and no more than a header may take. */
async function parseHeader(readAt: (offset: number, length: number) => Uint8Array<ArrayBuffer>, size: number) {
  const most = Math.min(size, MAX_HEADER_BYTES);
  const fetchRange = async (_: unknown, init?: RequestInit) => {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
    const [from, to] = [Number(first), Math.min(most, Number(last) + 1)];
    if (from > most + MOST_BEYOND)
      throw new ChorusError('bad-model', `the GGUF file has no end of its header within ${most} bytes`);
    // A length that is read from beyond the end is one that no file has, so that nothing is made of what is not there.
    const bytes = new Uint8Array(Number(last) + 1 - from).fill(0xff);
    if (to > from) bytes.set(readAt(from, to - from));
    return new Response(bytes, {
      headers: { 'content-range': `bytes ${first}-${last}/${size}` },
    });
  };
  try {
    return await gguf('http://file/', { fetch: fetchRange });
  } catch (thrown) {
    if (thrown instanceof ChorusError) throw thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ChorusError('bad-model', `the GGUF file cannot be read: ${reason.slice(0, 300)}`);
  }
}
