import { equalBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { leafHash, treeRoot, type Hash, type ReadHash } from './merkle.ts';
import { HASH_BYTES, splitHashes, subtreeRoot, widthAt, withTiles } from './tile-hashes.ts';
import { decodeEntries, TILE_WIDTH, tilePath, type Tile } from './tile-path.ts';

/** Reads a file under the log's prefix. Rejects with `too-large` above `maxBytes`, and with what went wrong. */
export type FetchBytes = (path: string, maxBytes: number, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;

/** Bundles of receipts' entries are far smaller; the format allows 16 MiB. */
const MAX_BUNDLE_BYTES = 4 * 1024 * 1024;

/** The tiles of a log as of one head. Nothing is answered that does not hash to this head's root. */
export class VerifiedTiles {
  readonly #head: Pick<Checkpoint, 'size' | 'root'>;
  readonly #fetchBytes: FetchBytes;
  readonly #signal: AbortSignal;
  readonly #tiles = new Map<string, Promise<readonly Hash[]>>();
  #edge: Promise<void> | null = null;

  constructor(head: Pick<Checkpoint, 'size' | 'root'>, fetchBytes: FetchBytes, signal: AbortSignal) {
    this.#head = head;
    this.#fetchBytes = fetchBytes;
    this.#signal = signal;
  }

  /** Runs `compute`, which asks for complete subtrees. Throws `digest-mismatch` if what is fetched is not of the head. */
  withHashes<Value>(compute: (read: ReadHash) => Value): Promise<Value> {
    return withTiles((level, index) => this.#tile(level, index), compute);
  }

  /** The entries of bundle `index`. Throws `digest-mismatch` if they are not of the head, `bad-message` if malformed. */
  async entries(index: number): Promise<Uint8Array<ArrayBuffer>[]> {
    const width = widthAt(0, index, this.#head.size);
    const [hashes, bytes] = await Promise.all([
      this.#tile(0, index),
      this.#fetch({ level: 'entries', index, width }, MAX_BUNDLE_BYTES),
    ]);
    const entries = decodeEntries(bytes).slice(0, width);
    if (entries.length !== width || !entries.every((entry, i) => equalBytes(leafHash(entry), hashes[i]!))) {
      throw mismatch(tilePath({ level: 'entries', index, width }));
    }
    return entries;
  }

  #tile(level: number, index: number): Promise<readonly Hash[]> {
    const key = `${level} ${index}`;
    const reading = this.#tiles.get(key) ?? this.#verified(level, index);
    this.#tiles.set(key, reading);
    return reading;
  }

  /** A full tile is what the tile above it says; the unfinished ones together give the root. */
  async #verified(level: number, index: number): Promise<readonly Hash[]> {
    const width = widthAt(level, index, this.#head.size);
    if (width === 0) throw new RangeError('this head has no such tile');
    const hashes = await this.#unverified({ level, index, width });
    if (width < TILE_WIDTH) {
      await (this.#edge ??= this.#verifyEdge());
      return hashes;
    }
    const above = await this.#tile(level + 1, Math.floor(index / TILE_WIDTH));
    if (!equalBytes(subtreeRoot(hashes), above[index % TILE_WIDTH]!)) throw mismatch(tilePath({ level, index, width }));
    return hashes;
  }

  async #verifyEdge(): Promise<void> {
    const { size, root } = this.#head;
    const read = (level: number, index: number): Promise<readonly Hash[]> =>
      this.#unverified({ level, index, width: widthAt(level, index, size) });
    if (!equalBytes(await withTiles(read, (hash) => treeRoot(size, hash)), root)) throw mismatch('tile');
  }

  /** Each tile is fetched once, both for its own hashes and for the root of the edge. */
  readonly #fetched = new Map<string, Promise<readonly Hash[]>>();
  #unverified(tile: Tile): Promise<readonly Hash[]> {
    const path = tilePath(tile);
    const fetched =
      this.#fetched.get(path) ??
      this.#fetch(tile, TILE_WIDTH * HASH_BYTES).then((bytes) => {
        const hashes = splitHashes(bytes).slice(0, tile.width);
        if (hashes.length !== tile.width) throw mismatch(path);
        return hashes;
      });
    this.#fetched.set(path, fetched);
    return fetched;
  }

  /** An unfinished tile may be gone where there is a full one. */
  async #fetch(tile: Tile, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await this.#fetchBytes(tilePath(tile), maxBytes, this.#signal);
    } catch (error) {
      if (tile.width === TILE_WIDTH || this.#signal.aborted) throw error;
      const full = { ...tile, width: TILE_WIDTH };
      return this.#fetchBytes(tilePath(full), maxBytes, this.#signal).catch(() => Promise.reject(error as Error));
    }
  }
}

function mismatch(path: string): ChorusError {
  return new ChorusError('digest-mismatch', `the log's ${path} does not fit its checkpoint`);
}
