import type { AcknowledgedSizes } from './acknowledged-sizes.ts';
import type { HistoryStore } from './history-store.ts';
import type { ListedReceipts } from './listed-receipts.ts';
import type { ReceiptStore } from './receipt-store.ts';
import type { TrustStore } from './trust-store.ts';

/** Sessions older than this are kept as sums only, the reasons of lost standings not at all. */
export const HISTORY_MS = 30 * 24 * 60 * 60_000;

/**
 * All that a server keeps, one port for each kind. No prompt and no answer is in it. Each port is split in two:
 *
 * Appends resolve once they have reached the disk, each whole or not at all, in the order in which they were made; a
 * confirmed one outlives the process, however it ends. Appends of one turn of the event loop may share a wait for the
 * disk, but none fails by another's fault. A rejected one is not on the disk.
 *
 * Reads answer at once, of the state at the opening and of every append since, confirmed or not; after a failure, of the
 * other appends of its turn once they are made again. Kinds that have no bound but the room of the disk are asked for
 * with a promise instead, and each says so.
 *
 * Nothing that is handed in or out is kept or shared: to change it changes nothing here.
 */
export interface Store {
  readonly history: HistoryStore;
  readonly trust: TrustStore;
  readonly acknowledged: AcknowledgedSizes;
  readonly receipts: ReceiptStore;
  readonly listed: ListedReceipts;
  /** Waits for what is under way, and frees the place for another process. A second call does nothing. */
  close(): Promise<void>;
}

/** Drops what is older than HISTORY_MS. */
export async function pruneStore({ history, trust }: Pick<Store, 'history' | 'trust'>, nowMs: number): Promise<void> {
  await Promise.all([history.prune(nowMs - HISTORY_MS), trust.prune(nowMs - HISTORY_MS)]);
}
