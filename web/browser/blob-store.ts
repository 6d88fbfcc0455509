import type { DBSchema, IDBPDatabase } from 'idb';
import type { BlobStore, DamagedBlob, StoredBlob } from '#shared/blobs/blob-store.ts';
import { checkPiece, pieceRange } from '#shared/blobs/piece.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { BlobRef } from '#shared/model/manifest.ts';
import { KeptDatabase } from './kept-database.ts';
import { NotKept, toNotKept, type StorageFault } from './not-kept.ts';
import { takeLock } from './page-lock.ts';
import type { StorageHealth } from './storage-health.ts';

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

export interface BlobSchema extends DBSchema {
  pieces: { key: [Digest, number]; value: StoredPiece };
}

export interface BlobStoreOptions {
  readonly health: StorageHealth;
  /** Called with each piece that is held in memory, since the browser does not keep it. */
  readonly onNotKept: (fault: StorageFault) => void;
  /** Called with how many kept pieces were found damaged or lost. */
  readonly onDamaged: (pieces: number) => void;
  readonly clock: Clock;
  /**
   * Blobs that are to stay, though nobody uses them now, when the browser's room is used up. Blobs that neither it
   * names nor any tab uses are removed then. Without it none are.
   */
  readonly neededLater?: () => Promise<ReadonlySet<Digest>>;
}

/**
 * Blobs in IndexedDB, each piece a Blob on disk that is read, and is to be checked, only when it is used. Pieces that the browser does
 * not keep are in memory until the store is closed, and so are those whose copy on the disk was found damaged. A blob that
 * was asked of a store counts as used, for all tabs, until the store is closed.
 */
export class IdbBlobStore implements BlobStore {
  readonly #database: Pick<KeptDatabase<BlobSchema>, 'name' | 'run' | 'close'>;
  readonly #options: BlobStoreOptions;
  readonly #memory = new Map<string, StoredPiece>();
  /** Pieces whose copy on the disk is not believed. */
  readonly #doubted = new Set<string>();
  /** Blobs of which nothing on the disk can be read. */
  readonly #unread = new Set<Digest>();
  /** By digest: settled once no tab can remove the blob any more. */
  readonly #used = new Map<Digest, Promise<void>>();
  readonly #releases: (() => void)[] = [];
  #isClosed = false;
  #makingRoom: Promise<void> | null = null;

  constructor(database: Pick<KeptDatabase<BlobSchema>, 'name' | 'run' | 'close'>, options: BlobStoreOptions) {
    this.#database = database;
    this.#options = options;
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
    const put = () => this.#database.run((database) => database.put('pieces', piece));
    const isDoubted = this.#doubted.has(nameOf(ref.digest, index)) || this.#unread.has(ref.digest);
    try {
      await put().catch((error: unknown) => this.#withMoreRoom(error, put));
      if (!isDoubted) return;
    } catch (thrown) {
      if (this.#isClosed) return;
      this.#options.onNotKept(toNotKept(thrown).fault);
    }
    this.#memory.set(nameOf(ref.digest, index), piece);
  }

  /** Everything that the browser keeps; rejects with `unsupported` where it keeps nothing for this page. */
  async list(): Promise<StoredBlob[]> {
    const blobs = new Map<Digest, StoredBlob>();
    for (const piece of await this.#orUnsupported((database) => database.getAll('pieces'))) {
      const { blob, totalBytes } = piece;
      const storedBytes = (blobs.get(blob)?.storedBytes ?? 0) + sizeOf(piece);
      blobs.set(blob, { digest: blob, storedBytes, totalBytes });
    }
    return [...blobs.values()];
  }

  async delete(digest: Digest): Promise<void> {
    for (const [name, { blob }] of this.#memory) if (blob === digest) this.#memory.delete(name);
    await this.#orUnsupported((database) => database.delete('pieces', keysOf(digest)));
  }

  async dropPieces({ digest, pieces }: DamagedBlob): Promise<void> {
    this.#options.onDamaged(pieces.length);
    for (const index of pieces) {
      this.#memory.delete(nameOf(digest, index));
      this.#doubted.add(nameOf(digest, index));
      // What cannot be removed is not believed all the same.
      await this.#database.run((database) => database.delete('pieces', [digest, index])).catch(() => undefined);
    }
  }

  /** Removes what no tab uses, but for `needed`; the result is how many bytes that were. */
  async removeUnused(needed: ReadonlySet<Digest> = new Set()): Promise<number> {
    let removedBytes = 0;
    for (const { digest, storedBytes } of await this.list()) {
      if (needed.has(digest)) continue;
      // Where nobody can tell whether another tab uses it, it stays.
      const release = await this.#lock(digest, { ifAvailable: true });
      if (release === null) continue;
      await this.delete(digest).finally(release);
      removedBytes += storedBytes;
    }
    return removedBytes;
  }

  close(): void {
    this.#isClosed = true;
    for (const release of this.#releases.splice(0)) release();
    this.#memory.clear();
    this.#database.close();
  }

  /** Tries again after `error` if that was for want of room and some could be made; throws it if not. */
  async #withMoreRoom<Result>(error: unknown, write: () => Promise<Result>): Promise<Result> {
    const { neededLater } = this.#options;
    if (toNotKept(error).fault !== 'full' || neededLater === undefined) throw error;
    this.#makingRoom ??= this.#makeRoom(neededLater).finally(() => (this.#makingRoom = null));
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
    const use = this.#lock(digest, { mode: 'shared' }).then((release) => {
      if (release === null) return;
      if (this.#isClosed) release();
      else this.#releases.push(release);
    });
    this.#used.set(digest, use);
    return use;
  }

  /** Null where another tab has the lock, or the browser has none. */
  async #lock(digest: Digest, options: LockOptions): Promise<(() => void) | null> {
    try {
      return await takeLock(`${this.#database.name}/${digest}`, options, this.#options);
    } catch (thrown) {
      if (thrown instanceof NotKept) return null;
      throw thrown;
    }
  }

  /** In order of their index. */
  async #rightPieces(ref: BlobRef): Promise<StoredPiece[]> {
    await this.#use(ref.digest);
    const stored = await this.#stored(ref.digest);
    const right: StoredPiece[] = [];
    for (const [index, digest] of ref.pieces.entries()) {
      const piece = this.#memory.get(nameOf(ref.digest, index)) ?? stored.get(index);
      const { start, end } = pieceRange(ref, index);
      if (piece?.digest === digest && sizeOf(piece) === end - start) right.push(piece);
    }
    return right;
  }

  /** Pieces on the disk that there is no doubt about yet, by index; none where the browser keeps none or cannot read them. */
  async #stored(digest: Digest): Promise<Map<number, StoredPiece>> {
    try {
      const stored = await this.#database.run((database) => database.getAll('pieces', keysOf(digest)));
      return new Map(
        stored.filter(({ index }) => !this.#doubted.has(nameOf(digest, index))).map((piece) => [piece.index, piece]),
      );
    } catch (thrown) {
      if (!(thrown instanceof NotKept)) throw thrown;
      this.#unread.add(digest);
      return new Map();
    }
  }

  async #orUnsupported<Result>(work: (database: IDBPDatabase<BlobSchema>) => Promise<Result>): Promise<Result> {
    try {
      return await this.#database.run(work);
    } catch (thrown) {
      if (!(thrown instanceof NotKept)) throw thrown;
      throw new ChorusError('unsupported', 'This browser keeps no files for this page; a private window may be why.');
    }
  }
}

/** Opens the page's store. */
export function openBlobStore(options: BlobStoreOptions, name = DATABASE): IdbBlobStore {
  return new IdbBlobStore(openBlobDatabase(options, name), options);
}

/** The database of a store, for tests that put something between. */
export function openBlobDatabase(
  { health, clock }: Pick<BlobStoreOptions, 'health' | 'clock'>,
  name: string,
): KeptDatabase<BlobSchema> {
  const upgrade = (database: IDBPDatabase<BlobSchema>) =>
    void database.createObjectStore('pieces', { keyPath: ['blob', 'index'] });
  return new KeptDatabase<BlobSchema>({ name, version: 1, upgrade, health, clock });
}

/** 0 for a record whose bytes are gone, as a browser that was repaired may leave it. */
function sizeOf({ bytes }: { readonly bytes: unknown }): number {
  return bytes instanceof Blob ? bytes.size : 0;
}

function nameOf(digest: Digest, index: number): string {
  return `${digest}/${index}`;
}

function keysOf(digest: Digest): IDBKeyRange {
  return IDBKeyRange.bound([digest, 0], [digest, Infinity]);
}
