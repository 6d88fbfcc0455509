import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { CHUNK_POSITIONS } from '../limits.ts';
import type { RowsMessage } from './peer-message.ts';

/** A rows message with the digest that belongs to its rows. */
export function rowsMessage(parts: Omit<RowsMessage, 'type' | 'digest'>): RowsMessage {
  return { type: 'rows', ...parts, digest: sha256(parts.rows.bytes) };
}

/** The chunk a position belongs to. */
export function chunkOf(position: number): number {
  return Math.floor(position / CHUNK_POSITIONS);
}

/** Throws `digest-mismatch` if the rows are not the bytes their sender stands for. */
export function checkDigest(message: RowsMessage): void {
  if (!equalBytes(sha256(message.rows.bytes), message.digest)) {
    throw new ChorusError('digest-mismatch', `rows ${message.sequence} are not what their digest says`);
  }
}

/** The first position after `position` that belongs to another chunk. */
export function chunkEnd(position: number): number {
  return (chunkOf(position) + 1) * CHUNK_POSITIONS;
}

/** u32 little-endian, one for each token. */
export function encodeTokens(tokens: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * tokens.length);
  const view = new DataView(bytes.buffer);
  tokens.forEach((token, i) => view.setUint32(4 * i, token, true));
  return bytes;
}
