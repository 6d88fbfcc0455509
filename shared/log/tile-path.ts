import { concatBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';

/** C2SP tlog-tiles: hashes of a tile, and entries of a bundle. */
export const TILE_WIDTH = 256;
export const MAX_TILE_LEVEL = 63;
/** Entries have a 16-bit length. */
export const MAX_ENTRY_BYTES = 65_535;

/** A tile of hashes at `level`, or a bundle of entries; `width` below TILE_WIDTH where it is not full yet. */
export interface Tile {
  readonly level: number | 'entries';
  readonly index: number;
  readonly width: number;
}

/** `tile/1/x001/x234/067.p/5`: the path of a tile under its log's prefix. */
export function tilePath({ level, index, width }: Tile): string {
  const groups: string[] = [];
  let rest = index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const last = groups.length - 1;
  const name = groups.map((group, i) => (i === last ? group : `x${group}`)).join('/');
  return `tile/${level}/${name}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The tile of a path as above; null for anything that `tilePath` would not write. */
export function parseTilePath(path: string): Tile | null {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (match === null) return null;
  const tile: Tile = {
    level: match[1] === 'entries' ? 'entries' : Number(match[1]),
    index: Number(match[2]!.replace(/[x/]/g, '')),
    width: match[3] === undefined ? TILE_WIDTH : Number(match[3]),
  };
  const isLevel = tile.level === 'entries' || tile.level <= MAX_TILE_LEVEL;
  return isLevel && tile.width >= 1 && tilePath(tile) === path ? tile : null;
}

/** Hashes that the tiles of `level` hold in a log of `size` entries: floor(size / 256^level). */
export function hashesAtLevel(size: number, level: number): number {
  let count = size;
  for (let i = 0; i < level; i++) count = Math.floor(count / TILE_WIDTH);
  return count;
}

/** One bundle: each entry after its length, u16 big-endian. Throws `too-large` for an entry above MAX_ENTRY_BYTES. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes(
    ...entries.flatMap((entry) => {
      if (entry.length > MAX_ENTRY_BYTES) throw entryTooLarge(entry);
      return [Uint8Array.of(entry.length >> 8, entry.length & 255), entry];
    }),
  );
}

/** The error for an entry above MAX_ENTRY_BYTES. */
export function entryTooLarge(entry: Uint8Array): ChorusError {
  return new ChorusError('too-large', `a log entry of ${entry.length} bytes; at most ${MAX_ENTRY_BYTES} are allowed`);
}

/** The entries of a bundle. Throws `bad-message` where lengths do not add up or there are more than a tile holds. */
export function decodeEntries(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const entries: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const start = offset + 2;
    const end = start + (bytes[offset]! << 8) + (bytes[offset + 1] ?? 0);
    if (start > bytes.length || end > bytes.length || entries.length === TILE_WIDTH) {
      throw new ChorusError('bad-message', 'a bundle of log entries is malformed');
    }
    entries.push(bytes.slice(start, end));
    offset = end;
  }
  return entries;
}
