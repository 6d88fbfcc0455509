import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { BlobStore, StoredBlob } from '#shared/blobs/blob-store.ts';
import { checkPiece } from '#shared/blobs/piece.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { BlobRef } from '#shared/model/manifest.ts';

const DATABASE = 'chorus-blobs';

interface StoredPiece {
  readonly blob: Digest;
  readonly index: number;
  /** Of the piece, so that a blob is whole only by the piece digests of the manifest that asks for it. */
  readonly digest: Digest;
  /** Of the whole blob. */
  readonly totalBytes: number;
  readonly bytes: Blob;
}

interface BlobSchema extends DBSchema {
  pieces: { key: [Digest, number]; value: StoredPiece };
}

/** Blobs in IndexedDB, each piece a Blob on disk that is read only when it is used. */
export class IdbBlobStore implements BlobStore {
  readonly #database: IDBPDatabase<BlobSchema>;

  constructor(database: IDBPDatabase<BlobSchema>) {
    this.#database = database;
  }

  async get(ref: BlobRef): Promise<Blob | null> {
    const here = await this.#rightPieces(ref);
    return here.length === ref.pieces.length ? new Blob(here.map((piece) => piece.bytes)) : null;
  }

  async pieces(ref: BlobRef): Promise<ReadonlySet<number>> {
    return new Set((await this.#rightPieces(ref)).map((piece) => piece.index));
  }

  async putPiece(ref: BlobRef, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await checkPiece(ref, index, bytes);
    const piece: StoredPiece = {
      blob: ref.digest,
      index,
      digest: ref.pieces[index] as Digest,
      totalBytes: ref.bytes,
      bytes: new Blob([bytes]),
    };
    await inWords(this.#database.put('pieces', piece));
  }

  async list(): Promise<StoredBlob[]> {
    const blobs = new Map<Digest, StoredBlob>();
    for (const { blob, bytes, totalBytes } of await inWords(this.#database.getAll('pieces'))) {
      const storedBytes = (blobs.get(blob)?.storedBytes ?? 0) + bytes.size;
      blobs.set(blob, { digest: blob, storedBytes, totalBytes });
    }
    return [...blobs.values()];
  }

  async delete(digest: Digest): Promise<void> {
    await inWords(this.#database.delete('pieces', keysOf(digest)));
  }

  close(): void {
    this.#database.close();
  }

  /** In order of their index. */
  async #rightPieces(ref: BlobRef): Promise<StoredPiece[]> {
    const stored = await inWords(this.#database.getAll('pieces', keysOf(ref.digest)));
    return stored.filter((piece) => piece.digest === ref.pieces[piece.index]);
  }
}

/** Opens the page's store. Rejects with `unsupported` where the browser keeps nothing. */
export async function openBlobStore(name = DATABASE): Promise<IdbBlobStore> {
  try {
    const database = await openDB<BlobSchema>(name, 1, {
      upgrade: (db) => void db.createObjectStore('pieces', { keyPath: ['blob', 'index'] }),
    });
    return new IdbBlobStore(database);
  } catch {
    throw new ChorusError('unsupported', 'This browser keeps no data for this page; a private window may be why.');
  }
}

function keysOf(digest: Digest): IDBKeyRange {
  return IDBKeyRange.bound([digest, 0], [digest, Infinity]);
}

async function inWords<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    if (name !== 'QuotaExceededError')
      throw new ChorusError('internal', `The browser's storage failed (${name || String(error)}).`);
    throw new ChorusError('out-of-memory', await describeQuota());
  }
}

async function describeQuota(): Promise<string> {
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  const inMb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
  return `The browser gives this page no more room: ${inMb(usage)} of ${inMb(quota)} are in use.`;
}
