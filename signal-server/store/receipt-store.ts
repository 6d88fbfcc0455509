import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';

/** Points of a log's growth that are kept. */
export const MAX_GROWTH = 5_000;

/** A receipt on its way into the log. */
export interface PendingReceipt {
  readonly id: Digest;
  readonly session: SessionId;
  /** Verifier key of the log. */
  readonly log: string;
  /** Entries that the log had when the receipt came: its own is not below. */
  readonly logSize: number;
}

export interface BegunReceipt extends PendingReceipt {
  /** Its place among those of its session. */
  readonly record: { readonly number: number; readonly previous: Digest | null };
  readonly envelope: Envelope;
  readonly atMs: number;
}

/** A receipt that the log has. */
export interface StoredReceipt {
  readonly index: number;
  /** Null once it is dropped to make room. */
  readonly envelope: Envelope | null;
}

/** `contradicted`: another receipt of its session has its number, or the one just before or after it is linked to another. */
export type Beginning = 'begun' | 'full' | 'contradicted';

export interface ReceiptAppends {
  /**
   * Takes the place of what there was of this receipt. Nothing happens where `most` receipts of its session are there
   * already, those that were begun included, or where one of them contradicts it: looking and beginning are one step.
   */
  begin(receipt: BegunReceipt, most: number): Promise<Beginning>;
  /** The log has the receipt, as this entry. */
  confirm(id: Digest, index: number): Promise<void>;
  /** Drops a receipt that did not get into the log. */
  abandon(id: Digest): Promise<void>;
  /**
   * Drops what is older than `beforeMs`, and all envelopes but the newest: `count` at most, `maxBytes` at most. Receipts that
   * were only begun stay.
   */
  prune(beforeMs: number, count: number, maxBytes: number): Promise<void>;
  /** The size of a log at a time; of each log the newest MAX_GROWTH are kept. */
  addGrowth(log: string, atMs: number, size: number): Promise<void>;
}

export interface ReceiptReads {
  /** Null for one that this log does not have, or not yet. With a promise: envelopes fill the room they are given. */
  get(id: Digest, log: string): Promise<StoredReceipt | null>;
  /** Receipts that were only begun, for whatever log, the smallest log size first. With a promise, as `get`. */
  pending(): Promise<readonly PendingReceipt[]>;
  /** The oldest first. */
  growth(log: string): LogStatus['history'];
}

/**
 * Port: the envelopes of receipts. One is begun before its entry is appended to the log and confirmed after that, so that
 * a crash between the two leaves a pending one, never an entry whose receipt is lost.
 */
export interface ReceiptStore extends ReceiptAppends, ReceiptReads {}
