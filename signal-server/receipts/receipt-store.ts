import type Database from 'libsql';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';

/** Points of a log's growth that are kept. */
const MAX_GROWTH = 5_000;

/** A receipt on its way into the log. */
export interface PendingReceipt {
  readonly id: Digest;
  readonly session: SessionId;
  /** Verifier key of the log. */
  readonly log: string;
  /** Entries that the log had when the receipt came: its own is not below. */
  readonly logSize: number;
}

/** A receipt that the log has. */
export interface StoredReceipt {
  readonly index: number;
  /** Null once it is dropped to make room. */
  readonly envelope: Envelope | null;
}

/**
 * The envelopes of receipts. One is written before its entry is appended and confirmed after that, so that a crash
 * between the two leaves a pending one, never an entry whose receipt is lost. As in all of the store, a call that has
 * returned has reached the disk.
 */
export interface ReceiptStore {
  /** Makes these writes all of them or none, with one wait for the disk. */
  inOne(writes: readonly (() => void)[]): void;
  /** Takes the place of what there was of this receipt. */
  begin(receipt: PendingReceipt & { readonly envelope: Envelope; readonly atMs: number }): void;
  confirm(id: Digest, index: number): void;
  /** Drops a receipt that did not get into the log. */
  abandon(id: Digest): void;
  /** Those that were begun, oldest entry first, for whatever log. */
  pending(): PendingReceipt[];
  /** Null for one that this log does not have, or not yet. */
  get(id: Digest, log: string): StoredReceipt | null;
  /** Receipts of a session, those that were begun included. */
  countOf(session: SessionId): number;
  /** Drops what is older than `beforeMs`, and all envelopes but the newest: `count` at most, `maxBytes` at most. */
  prune(beforeMs: number, count: number, maxBytes: number): void;
  addGrowth(log: string, atMs: number, size: number): void;
  /** The oldest first. */
  growth(log: string): LogStatus['history'];
}

export function createReceiptStore(database: Database.Database): ReceiptStore {
  const begin = database.prepare('INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, NULL, ?, ?)');
  const confirm = database.prepare('UPDATE receipts SET log_index = ? WHERE id = ?');
  const abandon = database.prepare('DELETE FROM receipts WHERE id = ?');
  const pending = database.prepare(
    'SELECT id, session, log, log_size FROM receipts WHERE log_index IS NULL ORDER BY log_size',
  );
  const get = database.prepare(
    'SELECT log_index, envelope FROM receipts WHERE id = ? AND log = ? AND log_index IS NOT NULL',
  );
  const countOf = database.prepare('SELECT count(*) AS count FROM receipts WHERE session = ?');
  const dropOld = database.prepare('DELETE FROM receipts WHERE at_ms < ? AND log_index IS NOT NULL');
  const dropEnvelopes = database.prepare(
    `UPDATE receipts SET envelope = NULL WHERE log_index IS NOT NULL AND envelope IS NOT NULL
     AND at_ms < (SELECT at_ms FROM receipts WHERE envelope IS NOT NULL ORDER BY at_ms DESC LIMIT 1 OFFSET ?)`,
  );
  const dropBeyond = database.prepare(
    `UPDATE receipts SET envelope = NULL WHERE log_index IS NOT NULL AND id IN (
       SELECT id FROM (
         SELECT id, sum(octet_length(envelope)) OVER (ORDER BY at_ms DESC, rowid DESC ROWS UNBOUNDED PRECEDING) AS bytes
         FROM receipts WHERE envelope IS NOT NULL)
       WHERE bytes > ?)`,
  );
  const addGrowth = database.prepare('INSERT OR REPLACE INTO log_growth VALUES (?, ?, ?)');
  const dropGrowth = database.prepare(
    `DELETE FROM log_growth WHERE log = ? AND at_ms < (SELECT at_ms FROM log_growth WHERE log = ? ORDER BY at_ms DESC LIMIT 1 OFFSET ${MAX_GROWTH - 1})`,
  );
  const growth = database.prepare('SELECT at_ms, size FROM log_growth WHERE log = ? ORDER BY at_ms');
  return {
    inOne: database.transaction((writes: readonly (() => void)[]) => {
      for (const write of writes) write();
    }),
    begin: ({ id, session, log, logSize, atMs, envelope }) =>
      void begin.run(id, session, log, logSize, Math.floor(atMs), JSON.stringify(envelope)),
    confirm: (id, index) => void confirm.run(index, id),
    abandon: (id) => void abandon.run(id),
    pending: () =>
      (pending.all() as Record<string, unknown>[]).map((row) => ({
        id: row['id'] as Digest,
        session: row['session'] as SessionId,
        log: row['log'] as string,
        logSize: Number(row['log_size']),
      })),
    get(id, log) {
      const row = get.get(id, log) as { log_index: number; envelope: string | null } | undefined;
      if (row === undefined) return null;
      const envelope = row.envelope === null ? null : (JSON.parse(row.envelope) as Envelope);
      return { index: Number(row.log_index), envelope };
    },
    countOf: (session) => Number((countOf.get(session) as { count: number }).count),
    prune(beforeMs, count, maxBytes) {
      dropOld.run(Math.floor(beforeMs));
      dropEnvelopes.run(count - 1);
      dropBeyond.run(maxBytes);
    },
    addGrowth(log, atMs, size) {
      addGrowth.run(log, Math.floor(atMs), size);
      dropGrowth.run(log, log);
    },
    growth: (log) =>
      (growth.all(log) as Record<string, unknown>[]).map((row) => ({
        atMs: Number(row['at_ms']),
        size: Number(row['size']),
      })),
  };
}
