import type Database from 'libsql';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import {
  MAX_GROWTH,
  type Beginning,
  type BegunReceipt,
  type PendingReceipt,
  type ReceiptStore,
} from '../receipt-store.ts';
import type { WriteGroup } from './write-group.ts';

export function createSqliteReceiptStore(database: Database.Database, writes: WriteGroup): ReceiptStore {
  const insert = database.prepare('INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?)');
  const confirm = database.prepare('UPDATE receipts SET log_index = ? WHERE id = ?');
  const abandon = database.prepare('DELETE FROM receipts WHERE id = ?');
  const pending = database.prepare(
    'SELECT id, session, log, log_size FROM receipts WHERE log_index IS NULL ORDER BY log_size',
  );
  const get = database.prepare(
    'SELECT log_index, envelope FROM receipts WHERE id = ? AND log = ? AND log_index IS NOT NULL',
  );
  const countOf = database.prepare('SELECT count(*) AS count FROM receipts WHERE session = ?');
  const contradicting = database.prepare(
    `SELECT id FROM receipts WHERE session = :session AND id <> :id AND (
       number = :number OR (number = :number - 1 AND id IS NOT :previous) OR (number = :number + 1 AND previous IS NOT :id))`,
  );
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

  function begin({ id, session, record, log, logSize, atMs, envelope }: BegunReceipt, most: number): Beginning {
    const { number, previous } = record;
    if (contradicting.get({ id, session, number, previous }) !== undefined) return 'contradicted';
    if (Number((countOf.get(session) as { count: number }).count) >= most) return 'full';
    insert.run(id, session, log, logSize, Math.floor(atMs), JSON.stringify(envelope), number, previous);
    return 'begun';
  }

  return {
    begin: (receipt, most) => writes.add(() => begin(receipt, most)),
    confirm: (id, index) => writes.add(() => void confirm.run(index, id)),
    abandon: (id) => writes.add(() => void abandon.run(id)),
    prune: (beforeMs, count, maxBytes) =>
      writes.add(() => {
        dropOld.run(Math.floor(beforeMs));
        dropEnvelopes.run(count - 1);
        dropBeyond.run(maxBytes);
      }),
    addGrowth: (log, atMs, size) =>
      writes.add(() => {
        addGrowth.run(log, Math.floor(atMs), size);
        dropGrowth.run(log, log);
      }),
    async get(id, log) {
      const row = get.get(id, log) as { log_index: number; envelope: string | null } | undefined;
      if (row === undefined) return null;
      const envelope = row.envelope === null ? null : (JSON.parse(row.envelope) as Envelope);
      return { index: Number(row.log_index), envelope };
    },
    pending: async () => (pending.all() as Record<string, unknown>[]).map(pendingOf),
    growth: (log) =>
      (growth.all(log) as Record<string, unknown>[]).map((row) => ({
        atMs: Number(row['at_ms']),
        size: Number(row['size']),
      })),
  };
}

function pendingOf(row: Record<string, unknown>): PendingReceipt {
  return {
    id: row['id'] as Digest,
    session: row['session'] as SessionId,
    log: row['log'] as string,
    logSize: Number(row['log_size']),
  };
}
