import type Database from 'libsql';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { Tier } from '#shared/judge/finding.ts';
import type { ListedReceipts, LoggedEntry } from '../listed-receipts.ts';
import type { WriteGroup } from './write-group.ts';

/** After every time that an entry can have. */
const END_OF_TIME = '~';

export function createSqliteListedReceipts(database: Database.Database, writes: WriteGroup): ListedReceipts {
  const size = database.prepare('SELECT size FROM listed_log WHERE log = ?');
  const insert = database.prepare('INSERT INTO listed_receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
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
  function put(log: string, start: number, end: number, receipts: readonly LoggedEntry[]): void {
    dropFrom.run(start);
    for (const { index, id, manifest, tier, requester, finishedAt, record } of receipts) {
      const { session = null, number = null, previous = null } = record ?? {};
      insert.run(index, id, manifest, tier, requester, finishedAt, session, number, previous);
    }
    dropLog.run();
    setLog.run(log, end);
  }

  return {
    size(log) {
      const row = size.get(log) as { size: number } | undefined;
      return row === undefined ? null : Number(row.size);
    },
    put: (...given) => writes.add(() => put(...given)),
    async find({ model, tier, from, to, before, limit }) {
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
      return (found as Record<string, unknown>[]).map(entryOf);
    },
  };
}

function entryOf(row: Record<string, unknown>): LoggedEntry {
  return {
    index: Number(row['log_index']),
    id: row['id'] as Digest,
    manifest: row['model'] as Digest,
    tier: row['tier'] as Tier,
    requester: row['requester'] as PeerId,
    finishedAt: row['finished_at'] as string,
    record:
      row['session'] === null
        ? null
        : {
            session: row['session'] as SessionId,
            number: Number(row['number']),
            previous: row['previous'] as Digest | null,
          },
  };
}
