import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { ChorusError } from '#shared/errors.ts';

/** A file that is read at any place of it. */
export interface PlainFile {
  readonly size: number;
  /** Bytes from `offset` on: fewer where the file ends. */
  readAt(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Opens a file of which everything may be hostile. Throws `bad-model` where the path is none. */
export function openPlainFile(path: string): PlainFile {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = fstatSync(file);
  if (!stat.isFile()) {
    closeSync(file);
    throw new ChorusError('bad-model', `${path} is not a file`);
  }
  return {
    size: stat.size,
    readAt: (offset, length) => readBytes(file, offset, length),
    close: () => closeSync(file),
  };
}

function readBytes(file: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
    if (count === 0) return bytes.subarray(0, done);
    done += count;
  }
  return bytes;
}
