import Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { PeerKind } from './registry.ts';

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS volunteers (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
    sessions INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, requester TEXT NOT NULL, issued_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, tokens_per_second REAL,
    stages INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (ended_ms);
`;

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
  totals(): { finished: number; failed: number; tokens: number };
  close(): void;
}

/** Opens the database, and keeps it locked until `close`. Throws ChorusError `internal` if another process has it. */
export function openStore(path: string): Store {
  const database = new Database(path);
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    migrate(database);
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      throw new ChorusError('internal', `another server is using ${path}`);
    }
    throw error;
  }
  return createStore(database);
}

function migrate(database: Database.Database): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > SCHEMA_VERSION) throw new ChorusError('internal', 'the data folder was written by a newer Chorus');
  database.exec('BEGIN IMMEDIATE');
  database.exec(SCHEMA);
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  database.exec('COMMIT');
}

function createStore(database: Database.Database): Store {
  const seen = database.prepare(
    `INSERT INTO volunteers (id, kind, first_seen_ms, last_seen_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, last_seen_ms = excluded.last_seen_ms`,
  );
  const ended = database.prepare('INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const served = database.prepare('UPDATE volunteers SET sessions = sessions + 1, tokens = tokens + ? WHERE id = ?');
  const blamed = database.prepare('UPDATE volunteers SET faults = faults + 1 WHERE id = ?');
  const one = database.prepare('SELECT * FROM volunteers WHERE id = ?');
  const totals = database.prepare(
    `SELECT count(*) FILTER (WHERE outcome <> 'failed') AS finished, count(*) FILTER (WHERE outcome = 'failed') AS failed,
       coalesce(sum(tokens), 0) AS tokens FROM sessions`,
  );
  const end = database.transaction((session: SessionRecord) => {
    const { id, model, requester, issuedMs, endedMs, outcome, tokens, tokensPerSecond, primaries, faults } = session;
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
      const row = totals.get() as Record<string, unknown>;
      return { finished: Number(row['finished']), failed: Number(row['failed']), tokens: Number(row['tokens']) };
    },
    close() {
      // The package closes the file only once its statements are collected, which may be never. Without WAL the lock can
      // be given back before that, with the next read, and the database is a single file again.
      database.exec('PRAGMA journal_mode = DELETE');
      database.exec('PRAGMA locking_mode = NORMAL');
      totals.get();
      database.close();
    },
  };
}
