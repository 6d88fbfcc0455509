import type Database from 'libsql';
import type { PeerKind } from '#shared/wire/peer-kind.ts';
import type { HistoryStore, PastSession, SeenVolunteer, Totals } from '../history-store.ts';
import { addToTotals } from '../totals.ts';
import type { WriteGroup } from './write-group.ts';

const SUMS = `
  SELECT count(*) FILTER (WHERE outcome <> 'failed') AS finished, count(*) FILTER (WHERE outcome = 'failed') AS failed,
    coalesce(sum(tokens), 0) AS tokens, coalesce(sum(checked), 0) AS checked, coalesce(sum(settled), 0) AS settled,
    coalesce(sum(unchecked), 0) AS unchecked, coalesce(sum(disputed), 0) AS disputed FROM sessions`;

export function createSqliteHistoryStore(database: Database.Database, writes: WriteGroup): HistoryStore {
  const seen = database.prepare(
    `INSERT INTO volunteers (id, kind, first_seen_ms, last_seen_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, last_seen_ms = excluded.last_seen_ms`,
  );
  const ended = database.prepare('INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const served = database.prepare('UPDATE volunteers SET sessions = sessions + 1, tokens = tokens + ? WHERE id = ?');
  const blamed = database.prepare('UPDATE volunteers SET faults = faults + 1 WHERE id = ?');
  const volunteer = database.prepare('SELECT * FROM volunteers WHERE id = ?');
  const sum = database.prepare(
    `SELECT sum(finished) AS finished, sum(failed) AS failed, sum(tokens) AS tokens, sum(checked) AS checked,
       sum(settled) AS settled, sum(unchecked) AS unchecked, sum(disputed) AS disputed
     FROM (${SUMS} UNION ALL SELECT * FROM pruned_sessions)`,
  );
  const hasOld = database.prepare('SELECT 1 FROM sessions WHERE ended_ms < ? LIMIT 1');
  const keepSums = database.prepare(`INSERT INTO pruned_sessions ${SUMS} WHERE ended_ms < ?`);
  const drop = database.prepare('DELETE FROM sessions WHERE ended_ms < ?');
  const readTotals = (): Totals => totalsOf(sum.get() as Record<keyof Totals, unknown>);
  /** Null until they are asked for: the sum goes over all sessions. */
  let totals: Totals | null = null;
  writes.onUndone(() => (totals = null));

  function end(session: PastSession): void {
    const { id, model, requester, issuedMs, endedMs, outcome, tokens, tokensPerSecond, checks } = session;
    const { positions, primaries, shadows, faults } = session;
    const { checked, settled, unchecked, disputed } = checks;
    const times = [issuedMs, endedMs];
    const figures = [tokens, tokensPerSecond, primaries.length, checked, settled, unchecked, disputed];
    const { changes } = ended.run(id, model, requester, ...times, outcome, ...figures);
    if (changes === 0) return;
    for (const replica of [...primaries, ...shadows]) served.run(positions, replica);
    for (const fault of faults) blamed.run(fault);
    if (totals !== null) totals = addToTotals(totals, session);
  }

  function prune(beforeMs: number): void {
    if (hasOld.get(beforeMs) === undefined) return;
    keepSums.run(beforeMs);
    drop.run(beforeMs);
  }

  return {
    volunteerSeen: (id, kind, atMs) => writes.add(() => void seen.run(id, kind, atMs, atMs)),
    sessionEnded: (session) => writes.add(() => end(session)),
    prune: (beforeMs) => writes.add(() => prune(beforeMs)),
    get totals() {
      return { ...(totals ??= readTotals()) };
    },
    volunteer(id) {
      const row = volunteer.get(id) as Record<string, unknown> | undefined;
      return row === undefined ? null : volunteerOf(row);
    },
  };
}

function volunteerOf(row: Record<string, unknown>): SeenVolunteer {
  return {
    kind: row['kind'] as PeerKind,
    firstSeenMs: Number(row['first_seen_ms']),
    lastSeenMs: Number(row['last_seen_ms']),
    sessions: Number(row['sessions']),
    tokens: Number(row['tokens']),
    faults: Number(row['faults']),
  };
}

function totalsOf(row: Record<keyof Totals, unknown>): Totals {
  return {
    finished: Number(row.finished),
    failed: Number(row.failed),
    tokens: Number(row.tokens),
    checked: Number(row.checked),
    settled: Number(row.settled),
    unchecked: Number(row.unchecked),
    disputed: Number(row.disputed),
  };
}
