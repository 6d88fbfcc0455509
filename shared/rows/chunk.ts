import { CHUNK_POSITIONS } from '../limits.ts';

/** The chunk a position belongs to. */
export function chunkOf(position: number): number {
  return Math.floor(position / CHUNK_POSITIONS);
}

/** The first position after `position` that belongs to another chunk. */
export function chunkEnd(position: number): number {
  return (chunkOf(position) + 1) * CHUNK_POSITIONS;
}
