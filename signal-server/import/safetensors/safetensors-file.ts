import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { firstFault, formWords } from '#shared/form-words.ts';
import { openPlainFile, type PlainFile } from '../../machine/plain-file.ts';
import { repeatedKey } from './repeated-key.ts';

/** Headers of the largest models that fit here take less than 1 MB. */
const MAX_HEADER_BYTES = 4 * 2 ** 20;
const MAX_TENSORS = 16_384;
const MAX_NAME = 200;
/** The file says how long its header is before it. */
const LENGTH_BYTES = 8;

export const SAFETENSORS_TYPES = { F32: 4, F16: 2, BF16: 2 } as const;
export type SafetensorsType = keyof typeof SAFETENSORS_TYPES;
const KNOWN = Object.keys(SAFETENSORS_TYPES).join(', ');

const placeSchema = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.string().max(32),
  shape: z.array(placeSchema.max(2 ** 32)).max(8),
  data_offsets: z.tuple([placeSchema, placeSchema]),
});
const headerSchema = z.record(z.string(), z.unknown());
const metadataSchema = z.record(z.string(), z.string());

export interface SafetensorsTensor {
  readonly name: string;
  readonly type: SafetensorsType;
  readonly dims: readonly number[];
  /** From the file's beginning. */
  readonly offset: number;
  readonly bytes: number;
}

/** A file of tensors with its header read. */
export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** `length` bytes of the file. Throws `bad-model` if it shrank. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Opens a file of which everything may be hostile. Throws `bad-model`, `unsupported-model` for types that are not read. */
export function openSafetensors(path: string, label: string): SafetensorsFile {
  const file = openPlainFile(path);
  try {
    const tensors = readSafetensorsHeader(file.readAt, file.size, label);
    return {
      tensors,
      read: (offset, length) => {
        const data = file.readAt(offset, length);
        if (data.length !== length) throw new ChorusError('bad-model', `${label} shrank while it was read`);
        return data;
      },
      close: file.close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The tensors of a file of `size` bytes, of which its header alone is read; `label` is its name. Throws as `openSafetensors`. */
export function readSafetensorsHeader(
  readAt: PlainFile['readAt'],
  size: number,
  label: string,
): Map<string, SafetensorsTensor> {
  const text = headerText(readAt, size, label);
  const { __metadata__: metadata, ...entries } = parseHeader(text, label);
  if (metadata !== undefined && !metadataSchema.safeParse(metadata).success)
    throw new ChorusError('bad-model', `the header of ${label} has a __metadata__ that is no table of texts`);
  const named = Object.entries(entries);
  if (named.length > MAX_TENSORS)
    throw new ChorusError('bad-model', `${label} has ${named.length} tensors; at most ${MAX_TENSORS} are read`);
  const begin = LENGTH_BYTES + Buffer.byteLength(text);
  const tensors = named.map(([name, entry]) => tensorOf(name, entry, begin, label));
  demandNoGaps(tensors, begin, size, label);
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

function headerText(readAt: PlainFile['readAt'], size: number, label: string): string {
  const head = size >= LENGTH_BYTES ? readAt(0, LENGTH_BYTES) : new Uint8Array();
  if (head.length !== LENGTH_BYTES)
    throw new ChorusError('bad-model', `${label} is too short to be a safetensors file`);
  const length = Number(new DataView(head.buffer).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES)
    throw new ChorusError(
      'bad-model',
      `the header of ${label} has ${length} bytes; at most ${MAX_HEADER_BYTES} are read`,
    );
  if (length > size - LENGTH_BYTES)
    throw new ChorusError('bad-model', `the header of ${label} has ${length} bytes, which is more than the file`);
  const bytes = readAt(LENGTH_BYTES, length);
  try {
    if (bytes.length !== length) throw new RangeError('the file shrank');
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ChorusError('bad-model', `the header of ${label} is no text`);
  }
}

function parseHeader(text: string, label: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new ChorusError('bad-model', `the header of ${label} is not JSON`);
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) throw new ChorusError('bad-model', `the header of ${label} is not an object`);
  const twice = repeatedKey(text);
  if (twice !== null)
    throw new ChorusError('bad-model', `the header of ${label} says ${twice.slice(0, MAX_NAME)} twice`);
  return header.data;
}

function tensorOf(name: string, entry: unknown, begin: number, label: string): SafetensorsTensor {
  if (name.length > MAX_NAME || name === '')
    throw new ChorusError('bad-model', `${label} has a tensor whose name has ${name.length} characters`);
  const parsed = entrySchema.safeParse(entry, { error: formWords });
  if (!parsed.success)
    throw new ChorusError(
      'bad-model',
      `the tensor ${name} of ${label}: ${firstFault(parsed.error, 'the whole of it')}`,
    );
  const {
    dtype,
    shape,
    data_offsets: [from, to],
  } = parsed.data;
  if (!isReadType(dtype))
    throw new ChorusError('unsupported-model', `the tensor ${name} of ${label} is ${dtype}; ${KNOWN} are read`);
  const bytes = shape.reduce((all, dim) => all * dim, SAFETENSORS_TYPES[dtype]);
  if (to - from !== bytes)
    throw new ChorusError(
      'bad-model',
      `the tensor ${name} of ${label} has ${to - from} bytes; ${dtype} of ${shape.join(' × ') || 'one number'} takes ${bytes}`,
    );
  return { name, type: dtype, dims: shape, offset: begin + from, bytes };
}

function isReadType(dtype: string): dtype is SafetensorsType {
  return Object.hasOwn(SAFETENSORS_TYPES, dtype);
}

/** The format's own rule: tensors fill the file, one after the other. None lies over another, and nothing lies between them. */
function demandNoGaps(tensors: readonly SafetensorsTensor[], begin: number, size: number, label: string): void {
  let end = begin;
  for (const { name, offset, bytes } of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset < end) throw new ChorusError('bad-model', `the tensor ${name} of ${label} lies over another`);
    if (offset > end)
      throw new ChorusError('bad-model', `the tensor ${name} of ${label} has bytes before it that are no tensor's`);
    end = offset + bytes;
    if (end > size) throw new ChorusError('bad-model', `the tensor ${name} of ${label} ends beyond the file`);
  }
  if (end !== size) throw new ChorusError('bad-model', `${label} has bytes after its last tensor`);
}
