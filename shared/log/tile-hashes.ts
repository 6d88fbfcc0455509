import { nodeHash, type Hash, type ReadHash } from './merkle.ts';
import { hashesAtLevel, TILE_WIDTH } from './tile-path.ts';

/** Levels of the tree that one tile spans. */
const TILE_HEIGHT = 8;
export const HASH_BYTES = 32;

/** How many of tile `index` of `level` a log of `size` entries fills. */
export function widthAt(level: number, index: number, size: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, hashesAtLevel(size, level) - index * TILE_WIDTH));
}

/** The root over hashes whose count is a power of two. */
export function subtreeRoot(hashes: readonly Hash[]): Hash {
  let row = hashes;
  while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i]!, row[2 * i + 1]!));
  return row[0]!;
}

/** The hashes of a tile's bytes; what is beyond the last whole one is left out. */
export function splitHashes(bytes: Uint8Array<ArrayBuffer>): Hash[] {
  return Array.from({ length: Math.floor(bytes.length / HASH_BYTES) }, (_, i) =>
    bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}

/**
 * Runs `compute`, which asks for complete subtrees, with what tiles hold: once to learn which tiles it needs, then with
 * these. It must ask for the same ones whatever their hashes are.
 */
export async function withTiles<Value>(
  readTile: (level: number, index: number) => Promise<readonly Hash[]>,
  compute: (read: ReadHash) => Value,
): Promise<Value> {
  const needed = new Map<string, { level: number; index: number }>();
  const placeholder = new Uint8Array(HASH_BYTES);
  compute((level, index) => {
    const place = placeOf(level, index);
    needed.set(`${place.level} ${place.index}`, place);
    return placeholder;
  });
  const tiles = new Map(
    await Promise.all([...needed].map(async ([key, { level, index }]) => [key, await readTile(level, index)] as const)),
  );
  return compute((level, index) => {
    const place = placeOf(level, index);
    return subtreeRoot(tiles.get(`${place.level} ${place.index}`)!.slice(place.start, place.end));
  });
}

/** Where a complete subtree lies in the tiles: hashes [start, end) of one. */
function placeOf(level: number, index: number): { level: number; index: number; start: number; end: number } {
  const width = 2 ** (level % TILE_HEIGHT);
  const first = index * width;
  const tile = Math.floor(first / TILE_WIDTH);
  const start = first - tile * TILE_WIDTH;
  return { level: Math.floor(level / TILE_HEIGHT), index: tile, start, end: start + width };
}
