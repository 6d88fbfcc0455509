import type Database from 'libsql';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { CheckCounts } from '#shared/judge/finding.ts';
import { createAcknowledgedSizes, type AcknowledgedSizes } from '../log/acknowledged-sizes.ts';
import type { PeerKind } from '../placement/registry.ts';
import { createListedReceipts, type ListedReceipts } from '../receipts/listed-receipts.ts';
import { createReceiptStore, type ReceiptStore } from '../receipts/receipt-store.ts';
import { createTrustStore, type TrustStore } from '../trust/trust-store.ts';
import { closeLocked, openLocked } from './locked-database.ts';
import { migrate } from './schema.ts';

/** Sessions older than this are kept as sums only, complaints not at all. */
export const HISTORY_MS = 30 * 24 * 60 * 60_000;

export interface SessionRecord {
  readonly id: SessionId;
  readonly model: Digest;
  readonly requester: PeerId;
  readonly issuedMs: number;
  readonly endedMs: number;
  readonly outcome: 'done' | 'cancelled' | 'failed';
  readonly tokens: number;
  readonly tokensPerSecond: number | null;
  /** One per stage. */
  readonly primaries: readonly PeerId[];
  readonly faults: readonly PeerId[];
  /** Spans by verdict, as its requester reported them. */
  readonly checks: CheckCounts;
}

export interface Totals extends CheckCounts {
  readonly finished: number;
  readonly failed: number;
  readonly tokens: number;
}

export interface VolunteerRecord {
  readonly kind: PeerKind;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly sessions: number;
  /** Tokens of whole answers that passed its stage, as requesters reported them. */
  readonly tokens: number;
  readonly faults: number;
}

/**
 * What outlives the process: who served, and what came of it. No prompt and no answer is in it. A call that has
 * returned has reached the disk (WAL with synchronous FULL); one that was cut off has changed nothing.
 */
export interface Store {
  volunteerSeen(id: PeerId, kind: PeerKind, atMs: number): void;
  sessionEnded(session: SessionRecord): void;
  volunteer(id: PeerId): VolunteerRecord | null;
  /** Of all sessions ever, those that are pruned included. */
  totals(): Totals;
  readonly trust: TrustStore;
  readonly acknowledged: AcknowledgedSizes;
  readonly receipts: ReceiptStore;
  readonly listed: ListedReceipts;
  /** Drops what is older than HISTORY_MS. */
  prune(nowMs: number): void;
  close(): void;
}

/** Opens the database, and keeps it locked until `close`. Throws ChorusError `internal` if another process has it. */
export function openStore(path: string): Store {
  return createStore(openLocked(path, migrate));
}

function createStore(database: Database.Database): Store {
  const seen = database.prepare(
    `INSERT INTO volunteers (id, kind, first_seen_ms, last_seen_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, last_seen_ms = excluded.last_seen_ms`,
  );
  const ended = database.prepare('INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const served = database.prepare('UPDATE volunteers SET sessions = sessions + 1, tokens = tokens + ? WHERE id = ?');
  const blamed = database.prepare('UPDATE volunteers SET faults = faults + 1 WHERE id = ?');
  const one = database.prepare('SELECT * FROM volunteers WHERE id = ?');
  const sums = `
    SELECT count(*) FILTER (WHERE outcome <> 'failed') AS finished, count(*) FILTER (WHERE outcome = 'failed') AS failed,
      coalesce(sum(tokens), 0) AS tokens, coalesce(sum(checked), 0) AS checked, coalesce(sum(settled), 0) AS settled,
      coalesce(sum(unchecked), 0) AS unchecked, coalesce(sum(disputed), 0) AS disputed FROM sessions`;
  const totals = database.prepare(
    `SELECT sum(finished) AS finished, sum(failed) AS failed, sum(tokens) AS tokens, sum(checked) AS checked,
       sum(settled) AS settled, sum(unchecked) AS unchecked, sum(disputed) AS disputed
     FROM (${sums} UNION ALL SELECT * FROM pruned_sessions)`,
  );
  const keepSums = database.prepare(`INSERT INTO pruned_sessions ${sums} WHERE ended_ms < ?`);
  const drop = database.prepare('DELETE FROM sessions WHERE ended_ms < ?');
  const hasOld = database.prepare('SELECT 1 FROM sessions WHERE ended_ms < ? LIMIT 1');
  const prune = database.transaction((beforeMs: number) => {
    if (hasOld.get(beforeMs) === undefined) return;
    keepSums.run(beforeMs);
    drop.run(beforeMs);
  });
  const trust = createTrustStore(database);
  const end = database.transaction((session: SessionRecord) => {
    const { id, model, requester, issuedMs, endedMs, outcome, tokens, tokensPerSecond, primaries, faults, checks } =
      session;
    const { changes } = ended.run(
      id,
      model,
      requester,
      issuedMs,
      endedMs,
      outcome,
      tokens,
      tokensPerSecond,
      primaries.length,
      checks.checked,
      checks.settled,
      checks.unchecked,
      checks.disputed,
    );
    if (changes === 0) return;
    for (const primary of primaries) served.run(tokens, primary);
    for (const fault of faults) blamed.run(fault);
  });
  return {
    volunteerSeen: (id, kind, atMs) => void seen.run(id, kind, atMs, atMs),
    sessionEnded: (session) => end(session),
    volunteer(id) {
      const row = one.get(id) as Record<string, unknown> | undefined;
      if (row === undefined) return null;
      return {
        kind: row['kind'] as PeerKind,
        firstSeenMs: Number(row['first_seen_ms']),
        lastSeenMs: Number(row['last_seen_ms']),
        sessions: Number(row['sessions']),
        tokens: Number(row['tokens']),
        faults: Number(row['faults']),
      };
    },
    totals() {
      const row = totals.get() as Record<keyof Totals, unknown>;
      return {
        finished: Number(row.finished),
        failed: Number(row.failed),
        tokens: Number(row.tokens),
        checked: Number(row.checked),
        settled: Number(row.settled),
        unchecked: Number(row.unchecked),
        disputed: Number(row.disputed),
      };
    },
    trust,
    acknowledged: createAcknowledgedSizes(database),
    receipts: createReceiptStore(database),
    listed: createListedReceipts(database),
    prune(nowMs) {
      prune(nowMs - HISTORY_MS);
      trust.prune(nowMs - HISTORY_MS);
    },
    close: () => closeLocked(database),
  };
}
