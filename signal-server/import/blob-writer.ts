import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES, MAX_BLOB_BYTES } from '#shared/limits.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { bytesToRead } from '../machine/durable-file.ts';

const RUN_BYTES = 16 * 2 ** 20;

/** Writes blobs named by their digest into one folder; a blob is there whole or not at all. */
export class BlobWriter {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws `bad-model` if the blob is larger than a manifest may name. */
  write(bytes: Uint8Array): Promise<BlobRef> {
    return this.writeAll([bytes]);
  }

  /** As `write`, of bytes that come in runs, of which one is held at a time. */
  async writeAll(runs: Iterable<Uint8Array>): Promise<BlobRef> {
    await mkdir(this.#folder, { recursive: true });
    const unfinished = join(this.#folder, `.${randomUUID()}.part`);
    const file = await open(unfinished, 'wx');
    try {
      const description = new BlobDescription();
      for (const run of runs) {
        for (let at = 0; at < run.length; at += RUN_BYTES) {
          const bytes = run.subarray(at, at + RUN_BYTES);
          description.add(bytes);
          await file.writeFile(bytes);
        }
      }
      const blob = description.finish();
      const path = join(this.#folder, blob.digest);
      if ((await bytesToRead(path)) === blob.bytes) {
        await file.close();
        await rm(unfinished, { force: true });
        return blob;
      }
      await file.sync();
      await file.close();
      await rename(unfinished, path);
      return blob;
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(unfinished, { force: true });
      throw error;
    }
  }
}

/** Digests of a blob of which one run after the other is seen. */
class BlobDescription {
  readonly #whole = createHash('sha256');
  readonly #pieces: Digest[] = [];
  #piece = createHash('sha256');
  #bytes = 0;

  add(run: Uint8Array): void {
    this.#whole.update(run);
    for (let at = 0; at < run.length;) {
      const room = BLOB_PIECE_BYTES - (this.#bytes % BLOB_PIECE_BYTES);
      const bytes = run.subarray(at, at + room);
      this.#piece.update(bytes);
      this.#bytes += bytes.length;
      at += bytes.length;
      if (this.#bytes % BLOB_PIECE_BYTES === 0) this.#endPiece();
    }
    if (this.#bytes > MAX_BLOB_BYTES) throw new ChorusError('bad-model', `a blob of ${this.#bytes} bytes is too large`);
  }

  finish(): BlobRef {
    if (this.#bytes % BLOB_PIECE_BYTES > 0) this.#endPiece();
    return { digest: this.#whole.digest('hex') as Digest, bytes: this.#bytes, pieces: this.#pieces };
  }

  #endPiece(): void {
    this.#pieces.push(this.#piece.digest('hex') as Digest);
    this.#piece = createHash('sha256');
  }
}
