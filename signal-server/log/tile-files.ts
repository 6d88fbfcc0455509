import { dirname, join } from 'node:path';
import { concatBytes, equalBytes } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { leafHash, nodeHash, type Hash, type ReadHash } from '#shared/log/merkle.ts';
import { decodeEntries, encodeEntries, hashesAtLevel, TILE_WIDTH, tilePath, type Tile } from '#shared/log/tile-path.ts';
import { makeFolder, readIfThere, syncFolder, writeDurably } from './durable-file.ts';

const HASH_BYTES = 32;
/** Levels of the tree that one tile spans. */
const TILE_HEIGHT = 8;
/** 8 KiB each. */
const MAX_CACHED_TILES = 512;

/** The tiles of one log as files, laid out as C2SP tlog-tiles serves them. */
export class TileFiles {
  readonly #folder: string;
  /** Full tiles never change. */
  readonly #cache = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #madeFolders = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The hashes of tile `index` of `level` in a log of `size` entries. Throws `internal` if the file is not whole. */
  async hashes(level: number, index: number, size: number): Promise<Hash[]> {
    const tile = { level, index, width: widthAt(level, index, size) };
    const bytes = await this.#read(tile);
    return Array.from({ length: tile.width }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES));
  }

  /** The entries of bundle `index` in a log of `size` entries. Throws `internal` if the file is not whole. */
  async entries(index: number, size: number): Promise<Uint8Array<ArrayBuffer>[]> {
    const width = widthAt(0, index, size);
    const entries = decodeEntries(await this.#read({ level: 'entries', index, width }));
    if (entries.length !== width) throw damaged(tilePath({ level: 'entries', index, width }));
    return entries;
  }

  /** Writes tiles so that they outlive a power cut. What lay under their names was never part of a signed tree. */
  async write(tiles: readonly { readonly tile: Tile; readonly bytes: Uint8Array }[]): Promise<void> {
    const folders = new Set<string>();
    for (const { tile } of tiles) {
      const folder = dirname(join(this.#folder, tilePath(tile)));
      if (!this.#madeFolders.has(folder)) await makeFolder(folder);
      this.#madeFolders.add(folder);
      folders.add(folder);
    }
    await Promise.all(tiles.map(({ tile, bytes }) => writeDurably(join(this.#folder, tilePath(tile)), bytes)));
    await Promise.all([...folders].map(syncFolder));
  }

  /**
   * Runs `compute`, which asks for complete subtrees of a log of `size` entries, with what the files hold: once to learn
   * which tiles it needs, then with these.
   */
  async withHashes<Value>(size: number, compute: (read: ReadHash) => Value): Promise<Value> {
    const needed = new Map<string, { level: number; index: number }>();
    const placeholder = new Uint8Array(HASH_BYTES);
    compute((level, index) => {
      const tile = tileOf(level, index);
      needed.set(`${tile.level} ${tile.index}`, tile);
      return placeholder;
    });
    const read = await Promise.all(
      [...needed].map(async ([key, tile]) => [key, await this.hashes(tile.level, tile.index, size)] as const),
    );
    const hashes = new Map(read);
    return compute((level, index) => {
      const tile = tileOf(level, index);
      return subtree(hashes.get(`${tile.level} ${tile.index}`)!.slice(tile.start, tile.end));
    });
  }

  /**
   * Reads every file of a log of `size` entries and answers the first that does not fit the others (entries their hashes,
   * full tiles the hash above them), or null. With the root checked besides, nothing in the log can have changed.
   */
  async firstWrong(size: number): Promise<string | null> {
    for (let level = 0; hashesAtLevel(size, level) > 0; level++) {
      for (let index = 0; index * TILE_WIDTH < hashesAtLevel(size, level); index++) {
        const hashes = await this.hashes(level, index, size);
        const tile = { level, index, width: hashes.length };
        if (level === 0) {
          const entries = await this.entries(index, size);
          if (!entries.every((entry, i) => equalBytes(leafHash(entry), hashes[i]!))) {
            return tilePath({ ...tile, level: 'entries' });
          }
        }
        if (hashes.length < TILE_WIDTH) continue;
        const above = await this.hashes(level + 1, Math.floor(index / TILE_WIDTH), size);
        if (!equalBytes(subtree(hashes), above[index % TILE_WIDTH]!)) return tilePath(tile);
      }
    }
    return null;
  }

  async #read(tile: Tile): Promise<Uint8Array<ArrayBuffer>> {
    const path = tilePath(tile);
    const cached = this.#cache.get(path);
    if (cached !== undefined) return cached;
    const bytes = await readIfThere(join(this.#folder, path));
    if (bytes === null || (tile.level !== 'entries' && bytes.length !== tile.width * HASH_BYTES)) throw damaged(path);
    if (tile.width === TILE_WIDTH) {
      if (this.#cache.size === MAX_CACHED_TILES) this.#cache.delete(this.#cache.keys().next().value!);
      this.#cache.set(path, bytes);
    }
    return bytes;
  }
}

/** How many of tile `index` of `level` a log of `size` entries fills. */
export function widthAt(level: number, index: number, size: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, hashesAtLevel(size, level) - index * TILE_WIDTH));
}

/**
 * The files that a log needs, beyond those it has, to grow by `added`. `edge[level]` are the hashes of the unfinished
 * tile of each level, changed here to those of the grown log; `bundle` the entries of the unfinished bundle.
 */
export function grow(
  size: number,
  edge: Hash[][],
  bundle: readonly Uint8Array[],
  added: readonly { readonly entry: Uint8Array; readonly leaf: Hash }[],
): { tiles: { tile: Tile; bytes: Uint8Array }[]; bundle: Uint8Array[] } {
  const tiles: { tile: Tile; bytes: Uint8Array }[] = [];
  const put = (level: number, hashes: readonly Hash[]): void => {
    edge[level] ??= [];
    let index = Math.floor(hashesAtLevel(size, level) / TILE_WIDTH);
    const above: Hash[] = [];
    let open = edge[level];
    for (const hash of hashes) {
      open.push(hash);
      if (open.length < TILE_WIDTH) continue;
      tiles.push({ tile: { level, index, width: TILE_WIDTH }, bytes: concatBytes(...open) });
      above.push(subtree(open));
      open = [];
      index += 1;
    }
    edge[level] = open;
    if (open.length > 0) tiles.push({ tile: { level, index, width: open.length }, bytes: concatBytes(...open) });
    if (above.length > 0) put(level + 1, above);
  };
  put(
    0,
    added.map(({ leaf }) => leaf),
  );

  const entries = [...bundle, ...added.map(({ entry }) => entry)];
  const first = Math.floor(size / TILE_WIDTH);
  for (let start = 0; start < entries.length; start += TILE_WIDTH) {
    const part = entries.slice(start, start + TILE_WIDTH);
    const tile = { level: 'entries' as const, index: first + start / TILE_WIDTH, width: part.length };
    tiles.push({ tile, bytes: encodeEntries(part) });
  }
  return { tiles, bundle: entries.slice(entries.length - (entries.length % TILE_WIDTH)) };
}

/** Where a complete subtree lies in the tiles: hashes [start, end) of one. */
function tileOf(level: number, index: number): { level: number; index: number; start: number; end: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const width = 2 ** (level % TILE_HEIGHT);
  const first = index * width;
  const tile = Math.floor(first / TILE_WIDTH);
  const start = first - tile * TILE_WIDTH;
  return { level: tileLevel, index: tile, start, end: start + width };
}

/** The root over hashes whose count is a power of two. */
function subtree(hashes: readonly Hash[]): Hash {
  let row = hashes;
  while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i]!, row[2 * i + 1]!));
  return row[0]!;
}

function damaged(path: string): ChorusError {
  return new ChorusError('internal', `the log's file ${path} is missing or not whole`);
}
