import type { ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptQuery } from '#shared/wire/receipt-list.ts';

/** An entry of a log, as far as it speaks of its receipt. */
export interface LoggedEntry extends ReceiptEntry {
  readonly index: number;
}

export interface ListedAppends {
  /** Takes the place of what there was of entries [start, ∞): the receipts among [start, end). */
  put(log: string, start: number, end: number, receipts: readonly LoggedEntry[]): Promise<void>;
}

export interface ListedReads {
  /** Entries of this log that were looked at; null where the list is of another log, or of none. */
  size(log: string): number | null;
  /**
   * Receipts that the query asks for, by the time at which their answers were finished and then by entry, the last first.
   * Null where entry `before` is no receipt. With a promise: a log grows without bound.
   */
  find(query: ReceiptQuery): Promise<readonly LoggedEntry[] | null>;
}

/**
 * Port: the receipts among the entries [0, size) of one log, so that they can be looked for. It follows from the log
 * and is made anew for another one.
 */
export interface ListedReceipts extends ListedAppends, ListedReads {}
