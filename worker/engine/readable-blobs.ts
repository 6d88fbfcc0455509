import type * as fileSystemModule from 'node:fs/promises';
import type { BlobFile } from '#shared/blobs/blob-store.ts';
import type { LocatedBlobs, PieceSource, ReadableBlobs } from '#shared/blobs/read-blobs.ts';
import type { Digest } from '#shared/ids.ts';

/** Blobs as they were handed over, with files opened for reading, until `close`. A file that cannot be read reads as damaged. */
export function readable(stored: LocatedBlobs | ReadableBlobs): {
  readonly blobs: ReadableBlobs;
  close(): Promise<void>;
} {
  const files: OpenFile[] = [];
  const blobs = new Map<Digest, PieceSource | Uint8Array<ArrayBuffer>>();
  for (const [digest, blob] of stored) {
    if (!('path' in blob)) blobs.set(digest, blob);
    else {
      const file = new OpenFile(blob);
      files.push(file);
      blobs.set(digest, file);
    }
  }
  return {
    blobs,
    async close() {
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

class OpenFile implements PieceSource {
  readonly #file: BlobFile;
  #handle: Promise<fileSystemModule.FileHandle> | null = null;

  constructor(file: BlobFile) {
    this.#file = file;
  }

  slice(start: number, end: number) {
    return { arrayBuffer: () => this.#read(start, end) };
  }

  async #read(start: number, end: number): Promise<ArrayBuffer> {
    const handle = await (this.#handle ??= openFile(this.#file.path));
    const bytes = new Uint8Array(end - start);
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.buffer;
  }

  async close(): Promise<void> {
    await this.#handle?.then(
      (handle) => handle.close(),
      () => undefined,
    );
  }
}

async function openFile(path: string): Promise<fileSystemModule.FileHandle> {
  // Named apart, so that the page's bundle does not look for it.
  const fileSystem = 'node:fs/promises';
  const { open } = (await import(/* @vite-ignore */ fileSystem)) as typeof fileSystemModule;
  return open(path, 'r');
}
