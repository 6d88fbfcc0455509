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

export interface BlobStoreOptions {
  readonly name?: string;
  /**
   * Blobs that are to stay, though nobody uses them now, when the browser's room is used up. Blobs that neither it
   * names nor any tab uses are removed then. Without it none are.
   */
  readonly neededLater?: () => Promise<ReadonlySet<Digest>>;
}

/**
 * Blobs in IndexedDB, each piece a Blob on disk that is read only when it is used. A blob that was asked of a store counts as
 * used, for all tabs, until the store is closed.
 */
export class IdbBlobStore implements BlobStore {
  readonly #database: IDBPDatabase<BlobSchema>;
  readonly #neededLater: BlobStoreOptions['neededLater'];
  /** By digest: settled once no tab can remove the blob any more. */
  readonly #used = new Map<Digest, Promise<void>>();
  readonly #closing = new AbortController();
  #makingRoom: Promise<void> | null = null;

  constructor(database: IDBPDatabase<BlobSchema>, { neededLater }: Pick<BlobStoreOptions, 'neededLater'> = {}) {
    this.#database = database;
    this.#neededLater = neededLater;
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
    await this.#use(ref.digest);
    const put = () => this.#database.put('pieces', piece);
    await inWords(put().catch((error: unknown) => this.#withMoreRoom(error, put)));
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

  /** Removes what no tab uses, but for `needed`; the result is how many bytes that were. */
  async removeUnused(needed: ReadonlySet<Digest> = new Set()): Promise<number> {
    let removedBytes = 0;
    for (const { digest, storedBytes } of await this.list()) {
      if (needed.has(digest)) continue;
      await navigator.locks.request(this.#lockOf(digest), { ifAvailable: true }, async (lock) => {
        if (lock === null) return;
        await this.delete(digest);
        removedBytes += storedBytes;
      });
    }
    return removedBytes;
  }

  close(): void {
    this.#closing.abort();
    this.#database.close();
  }

  /** Tries again after `error` if that was for want of room and some could be made; throws it if not. */
  async #withMoreRoom<Result>(error: unknown, write: () => Promise<Result>): Promise<Result> {
    if (!isQuotaError(error) || this.#neededLater === undefined) throw error;
    this.#makingRoom ??= this.#makeRoom(this.#neededLater).finally(() => (this.#makingRoom = null));
    await this.#makingRoom;
    return write();
  }

  async #makeRoom(neededLater: () => Promise<ReadonlySet<Digest>>): Promise<void> {
    try {
      await this.removeUnused(await neededLater());
    } catch {
      // Nothing is removed while the blobs needed later are unknown; the want of room is told instead.
    }
  }

  #use(digest: Digest): Promise<void> {
    const known = this.#used.get(digest);
    if (known !== undefined) return known;
    const use = new Promise<void>((resolve, reject) => {
      const holdUntilClosed = (): Promise<void> => {
        resolve();
        return aborted(this.#closing.signal);
      };
      navigator.locks.request(this.#lockOf(digest), { mode: 'shared' }, holdUntilClosed).catch(reject);
    });
    this.#used.set(digest, use);
    return use;
  }

  #lockOf(digest: Digest): string {
    return `${this.#database.name}/${digest}`;
  }

  /** In order of their index. */
  async #rightPieces(ref: BlobRef): Promise<StoredPiece[]> {
    await this.#use(ref.digest);
    const stored = await inWords(this.#database.getAll('pieces', keysOf(ref.digest)));
    return stored.filter((piece) => piece.digest === ref.pieces[piece.index]);
  }
}

/** Opens the page's store. Rejects with `unsupported` where the browser keeps nothing. */
export async function openBlobStore({ name = DATABASE, ...options }: BlobStoreOptions = {}): Promise<IdbBlobStore> {
  try {
    const database = await openDB<BlobSchema>(name, 1, {
      upgrade: (db) => void db.createObjectStore('pieces', { keyPath: ['blob', 'index'] }),
    });
    return new IdbBlobStore(database, options);
  } catch {
    throw new ChorusError('unsupported', 'This browser keeps no data for this page; a private window may be why.');
  }
}

function keysOf(digest: Digest): IDBKeyRange {
  return IDBKeyRange.bound([digest, 0], [digest, Infinity]);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function inWords<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (isQuotaError(error)) throw new ChorusError('out-of-memory', await describeQuota());
    const name = error instanceof DOMException ? error.name : String(error);
    throw new ChorusError('internal', `The browser's storage failed (${name}).`);
  }
}

/** Not every browser still throws a DOMException here. */
function isQuotaError(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

async function describeQuota(): Promise<string> {
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  const inMb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
  return (
    `The browser gives this page no more room for files: ${inMb(usage)} of ${inMb(quota)} are in use. ` +
    'Make room on this device, or clear what the Volunteer view says is kept on it.'
  );
}
