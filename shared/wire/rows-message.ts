import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { RowsMessage } from './peer-message.ts';

/** A rows message with the digest that belongs to its rows. */
export function rowsMessage(parts: Omit<RowsMessage, 'type' | 'digest'>): RowsMessage {
  return { type: 'rows', ...parts, digest: sha256(parts.rows.bytes) };
}

/** Throws `digest-mismatch` if the rows are not the bytes their sender stands for. */
export function checkDigest(message: RowsMessage): void {
  if (!equalBytes(sha256(message.rows.bytes), message.digest)) {
    throw new ChorusError('digest-mismatch', `rows ${message.sequence} are not what their digest says`);
  }
}
