import type { BlobStore, DamagedBlob, StoredBlob } from '#shared/blobs/blob-store.ts';
import { checkPiece } from '#shared/blobs/piece.ts';
import { concatBytes } from '#shared/bytes.ts';
import type { Digest } from '#shared/ids.ts';
import type { BlobRef } from '#shared/model/manifest.ts';

interface Entry {
  readonly totalBytes: number;
  readonly pieces: Map<number, { readonly digest: Digest; readonly bytes: Uint8Array<ArrayBuffer> }>;
}

/** Keeps blobs in a map, which may be given to a second store. */
export class MemoryBlobStore implements BlobStore {
  readonly #entries: Map<Digest, Entry>;

  constructor(entries = new Map<Digest, Entry>()) {
    this.#entries = entries;
  }

  async get(ref: BlobRef): Promise<Uint8Array<ArrayBuffer> | null> {
    const here = await this.pieces(ref);
    if (here.size < ref.pieces.length) return null;
    const entry = this.#entries.get(ref.digest);
    return concatBytes(...ref.pieces.map((_, index) => entry?.pieces.get(index)?.bytes ?? new Uint8Array(0)));
  }

  pieces(ref: BlobRef): Promise<ReadonlySet<number>> {
    const entry = this.#entries.get(ref.digest);
    const right = ref.pieces.map((digest, index) => (entry?.pieces.get(index)?.digest === digest ? index : -1));
    return Promise.resolve(new Set(right.filter((index) => index >= 0)));
  }

  async putPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await checkPiece(ref, index, bytes);
    const entry = this.#entries.get(ref.digest) ?? { totalBytes: ref.bytes, pieces: new Map() };
    entry.pieces.set(index, { digest: ref.pieces[index] as Digest, bytes: bytes.slice() });
    this.#entries.set(ref.digest, entry);
  }

  list(): Promise<StoredBlob[]> {
    return Promise.resolve(
      [...this.#entries].map(([digest, { totalBytes, pieces }]) => ({
        digest,
        totalBytes,
        storedBytes: [...pieces.values()].reduce((sum, piece) => sum + piece.bytes.length, 0),
      })),
    );
  }

  delete(digest: Digest): Promise<void> {
    this.#entries.delete(digest);
    return Promise.resolve();
  }

  dropPieces({ digest, pieces }: DamagedBlob): Promise<void> {
    for (const index of pieces) this.#entries.get(digest)?.pieces.delete(index);
    return Promise.resolve();
  }
}
