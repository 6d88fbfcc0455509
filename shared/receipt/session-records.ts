import type { ReceiptEntry } from './receipt-entry.ts';

/** Two receipts of one session that cannot both be as they say. */
export type Contradiction = 'same-number' | 'other-before' | 'other-after';

/**
 * How another receipt of the log contradicts this one; null if it does not. Both are of one session, by its entry: two with
 * one number that differ contradict, and so do neighbours of which the later one names another before it.
 */
export function contradictionBetween(own: ReceiptEntry, other: ReceiptEntry): Contradiction | null {
  if (own.record === null || other.record === null || own.id === other.id) return null;
  if (own.record.session !== other.record.session) return null;
  const distance = other.record.number - own.record.number;
  if (distance === 0) return 'same-number';
  if (distance === -1 && own.record.previous !== other.id) return 'other-before';
  return distance === 1 && other.record.previous !== own.id ? 'other-after' : null;
}
