import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES, MAX_BLOB_BYTES } from '#shared/limits.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { bytesToRead } from '../machine/durable-file.ts';

/** Writes blobs named by their digest into one folder; a blob is there whole or not at all. */
export class BlobWriter {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws `bad-model` if the blob is larger than a manifest may name. */
  async write(bytes: Uint8Array): Promise<BlobRef> {
    const blob = describeBlob(bytes);
    const path = join(this.#folder, blob.digest);
    if ((await bytesToRead(path)) === blob.bytes) return blob;
    await mkdir(this.#folder, { recursive: true });
    const unfinished = join(this.#folder, `.${randomUUID()}.part`);
    const file = await open(unfinished, 'wx');
    try {
      for (let at = 0; at < bytes.length; at += 2 ** 30) await file.writeFile(bytes.subarray(at, at + 2 ** 30));
      await file.sync();
      await file.close();
      await rename(unfinished, path);
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(unfinished, { force: true });
      throw error;
    }
    return blob;
  }
}

export function describeBlob(bytes: Uint8Array): BlobRef {
  if (bytes.length > MAX_BLOB_BYTES) throw new ChorusError('bad-model', `a blob of ${bytes.length} bytes is too large`);
  const pieces: Digest[] = [];
  for (let at = 0; at < bytes.length; at += BLOB_PIECE_BYTES)
    pieces.push(sha256(bytes.subarray(at, at + BLOB_PIECE_BYTES)));
  return { digest: sha256(bytes), bytes: bytes.length, pieces };
}

function sha256(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex') as Digest;
}
