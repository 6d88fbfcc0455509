import { toChorusError } from '#shared/errors.ts';
import { parseReceiptEntry, type ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import { contradictionBetween, type Contradiction } from '#shared/receipt/session-records.ts';
import type { Check } from '#shared/receipt/verify/check.ts';

import type { OpenedLog } from './opened-log.ts';

export type SessionCheck = Omit<Check, 'name'> & { readonly name: 'log-session' };

/** Entries on each side of a receipt's own that are looked at: those of one session lie within its lease. */
const REACH = 2_048;

const WORDS: Readonly<Record<Contradiction, string>> = {
  'same-number': 'is another receipt of the same record',
  'other-before': 'is of the record before, and not the one that this receipt follows',
  'other-after': 'is of the record after, and follows another receipt than this',
};
/** Looks through the log, beside a receipt's own entry, for another of its session that contradicts it. Never rejects. */
export async function checkSessionInLog(
  own: ReceiptEntry,
  index: number,
  open: () => Promise<OpenedLog>,
  signal: AbortSignal,
): Promise<SessionCheck> {
  if (own.record === null)
    return checkOf('not-checked', 'receipts of version 1 do not say which of their session they are');
  try {
    const { client, head } = await open();
    const [start, end] = [Math.max(0, index - REACH), Math.min(head.size, index + REACH)];
    const entries = await client.entries(head, start, Math.max(start, end), signal);
    for (const [i, bytes] of entries.entries()) {
      const other = read(bytes);
      const contradiction = other && contradictionBetween(own, other);
      if (contradiction) return checkOf('failed', `entry ${start + i}, ${other.id}, ${WORDS[contradiction]}`);
    }
    return checkOf('passed', `entries ${start} to ${end - 1} have no other receipt of its session that contradicts it`);
  } catch (thrown) {
    return checkOf('not-checked', `the log could not be read: ${toChorusError(thrown).message}`);
  }
}

/** Null for an entry of another kind. */
function read(bytes: Uint8Array<ArrayBuffer>): ReceiptEntry | null {
  try {
    return parseReceiptEntry(bytes);
  } catch {
    return null;
  }
}

const checkOf = (status: Check['status'], detail: string): SessionCheck => ({ name: 'log-session', status, detail });
