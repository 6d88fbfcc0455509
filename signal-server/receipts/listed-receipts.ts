import type Database from 'libsql';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { Tier } from '#shared/judge/finding.ts';
import type { ReceiptQuery } from '#shared/wire/receipt-list.ts';
import type { LoggedEntry } from './log-entries.ts';

/** After every time that an entry can have. */
const END_OF_TIME = '~';

/**
 * What the entries [0, size) of one log say of receipts, so that they can be looked for. It follows from the log and is
 * made anew for another one.
 */
export interface ListedReceipts {
  /** Entries of this log that were looked at; null where what there is follows from another log, or from none. */
  size(log: string): number | null;
  /** Takes the place of what there was of entries [start, ∞): the receipts among [start, end), all of them or none. */
  put(log: string, start: number, end: number, receipts: readonly LoggedEntry[]): void;
  /**
   * Those that the query asks for, by the time at which their answers were finished and then by entry, the last first.
   * Null where `before` is the entry of none.
   */
  find(query: ReceiptQuery): LoggedEntry[] | null;
}

export function createListedReceipts(database: Database.Database): ListedReceipts {
  const size = database.prepare('SELECT size FROM listed_log WHERE log = ?');
  const insert = database.prepare('INSERT INTO listed_receipts VALUES (?, ?, ?, ?, ?, ?)');
  const dropFrom = database.prepare('DELETE FROM listed_receipts WHERE log_index >= ?');
  const dropLog = database.prepare('DELETE FROM listed_log');
  const setLog = database.prepare('INSERT INTO listed_log VALUES (?, ?)');
  const timeOf = database.prepare('SELECT finished_at FROM listed_receipts WHERE log_index = ?');
  // One statement for each set of columns that is asked for, so that each can use the index with these columns.
  const finds = new Map(
    ['', 'model = :model AND', 'tier = :tier AND', 'model = :model AND tier = :tier AND'].map((wanted) => [
      wanted,
      database.prepare(
        `SELECT * FROM listed_receipts WHERE ${wanted} finished_at >= :from AND (finished_at, log_index) < (:time, :entry)
         ORDER BY finished_at DESC, log_index DESC LIMIT :limit`,
      ),
    ]),
  );
  const put = database.transaction((log: string, start: number, end: number, receipts: readonly LoggedEntry[]) => {
    dropFrom.run(start);
    for (const { index, id, manifest, tier, requester, finishedAt } of receipts) {
      insert.run(index, id, manifest, tier, requester, finishedAt);
    }
    dropLog.run();
    setLog.run(log, end);
  });
  return {
    size(log) {
      const row = size.get(log) as { size: number } | undefined;
      return row === undefined ? null : Number(row.size);
    },
    put: (log, start, end, receipts) => put(log, start, end, receipts),
    find({ model, tier, from, to, before, limit }) {
      // Before this time and entry.
      let end = { time: to ?? END_OF_TIME, entry: -1 };
      if (before !== null) {
        const row = timeOf.get(before) as { finished_at: string } | undefined;
        if (row === undefined) return null;
        if (row.finished_at < end.time) end = { time: row.finished_at, entry: before };
      }
      const wanted = [model === null ? [] : 'model = :model AND', tier === null ? [] : 'tier = :tier AND'].flat();
      const found = finds.get(wanted.join(' '))!.all({
        ...(model !== null && { model }),
        ...(tier !== null && { tier }),
        ...end,
        from: from ?? '',
        limit,
      });
      return (found as Record<string, unknown>[]).map((row) => ({
        index: Number(row['log_index']),
        id: row['id'] as Digest,
        manifest: row['model'] as Digest,
        tier: row['tier'] as Tier,
        requester: row['requester'] as PeerId,
        finishedAt: row['finished_at'] as string,
      }));
    },
  };
}
