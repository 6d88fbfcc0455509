import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { concatBytes, equalBytes } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { leafHash, type Hash, type ReadHash } from '#shared/log/merkle.ts';
import { HASH_BYTES, splitHashes, subtreeRoot, widthAt, withTiles } from '#shared/log/tile-hashes.ts';
import { decodeEntries, encodeEntries, hashesAtLevel, TILE_WIDTH, tilePath, type Tile } from '#shared/log/tile-path.ts';
import { makeFolder, readIfThere, syncFolder, writeDurably } from '../machine/durable-file.ts';

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
    return splitHashes(await this.#read({ level, index, width: widthAt(level, index, size) }));
  }

  /** The entries of bundle `index` in a log of `size` entries. Throws `internal` if the file is not whole. */
  async entries(index: number, size: number): Promise<Uint8Array<ArrayBuffer>[]> {
    return decodeEntries(await this.#read({ level: 'entries', index, width: widthAt(0, index, size) }));
  }

  /** A tile as it was at its width, in a log of `size` entries that has come so far. */
  async bytes(tile: Tile, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const now = { ...tile, width: widthAt(tile.level === 'entries' ? 0 : tile.level, tile.index, size) };
    return firstOf(await this.#read(now), tile);
  }

  /** True if there are tiles or entries, be they of a log or left by a crash. */
  async areThere(): Promise<boolean> {
    const found = await readdir(join(this.#folder, 'tile')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return found.length > 0;
  }

  /** Writes tiles so that they outlive a power cut. A file already under such a name was never part of a signed tree. */
  async write(tiles: readonly { readonly tile: Tile; readonly bytes: Uint8Array }[]): Promise<void> {
    const folders = new Set<string>();
    for (const { tile } of tiles) {
      const folder = dirname(join(this.#folder, tilePath(tile)));
      await this.#make(folder);
      folders.add(folder);
    }
    await Promise.all(tiles.map(({ tile, bytes }) => writeDurably(join(this.#folder, tilePath(tile)), bytes)));
    await Promise.all([...folders].map(syncFolder));
  }

  /** Reads all from the disk again: after a write that failed, what was read may be no part of the log. */
  forget(): void {
    this.#cache.clear();
    this.#madeFolders.clear();
  }

  /** Runs `compute`, which asks for complete subtrees of a log of `size` entries, with what the files hold. */
  withHashes<Value>(size: number, compute: (read: ReadHash) => Value): Promise<Value> {
    return withTiles((level, index) => this.hashes(level, index, size), compute);
  }

  /**
   * Removes the unfinished tiles that led to full ones, which hold all that they held. To be called once the log is
   * known to have come so far. A tile that cannot be removed stays.
   */
  async dropPartial(tiles: readonly Tile[]): Promise<void> {
    const full = tiles.filter(({ width }) => width === TILE_WIDTH);
    await Promise.allSettled(
      full.map((tile) => rm(join(this.#folder, `${tilePath(tile)}.p`), { recursive: true, force: true })),
    );
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
        if (!equalBytes(subtreeRoot(hashes), above[index % TILE_WIDTH]!)) return tilePath(tile);
      }
    }
    return null;
  }

  /** Makes a folder, each level by itself: some may be there since a write that was killed. */
  async #make(folder: string): Promise<void> {
    if (folder === this.#folder || this.#madeFolders.has(folder)) return;
    await this.#make(dirname(folder));
    await makeFolder(folder);
    this.#madeFolders.add(folder);
  }

  /** The bytes of a tile, cut from the full one where only that is left. Throws `internal` if its file is not whole. */
  async #read(tile: Tile): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#readFile(tile);
    if (bytes !== null) return bytes;
    const full = tile.width === TILE_WIDTH ? null : await this.#readFile({ ...tile, width: TILE_WIDTH });
    if (full === null) throw damaged(tilePath(tile));
    return firstOf(full, tile);
  }

  async #readFile(tile: Tile): Promise<Uint8Array<ArrayBuffer> | null> {
    const path = tilePath(tile);
    const cached = this.#cache.get(path);
    if (cached !== undefined) return cached;
    const bytes = await readIfThere(join(this.#folder, path));
    if (bytes === null) return null;
    if (countIn(bytes, tile) !== tile.width) throw damaged(path);
    if (tile.width === TILE_WIDTH) {
      if (this.#cache.size === MAX_CACHED_TILES) this.#cache.delete(this.#cache.keys().next().value!);
      this.#cache.set(path, bytes);
    }
    return bytes;
  }
}

/** How many hashes or entries there are; NaN where they do not come out even. */
function countIn(bytes: Uint8Array<ArrayBuffer>, { level }: Tile): number {
  if (level !== 'entries') return bytes.length / HASH_BYTES;
  try {
    return decodeEntries(bytes).length;
  } catch {
    return NaN;
  }
}

/** The bytes of a tile when it was `width` wide, cut from those of now. */
function firstOf(bytes: Uint8Array<ArrayBuffer>, { level, width }: Tile): Uint8Array<ArrayBuffer> {
  if (level !== 'entries') return bytes.slice(0, width * HASH_BYTES);
  return encodeEntries(decodeEntries(bytes).slice(0, width));
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
      above.push(subtreeRoot(open));
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

function damaged(path: string): ChorusError {
  return new ChorusError('internal', `its file ${path} is missing or not whole`);
}
