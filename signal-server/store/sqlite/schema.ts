import type Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';

/** The steps of the schema, each added to the one before it. Steps are never changed, only added. */
export const SCHEMA_STEPS: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS volunteers (
     id TEXT PRIMARY KEY, kind TEXT NOT NULL, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
     sessions INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0
   ) STRICT;
   CREATE TABLE IF NOT EXISTS sessions (
     id TEXT PRIMARY KEY, model TEXT NOT NULL, requester TEXT NOT NULL, issued_ms INTEGER NOT NULL,
     ended_ms INTEGER NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, tokens_per_second REAL,
     stages INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (ended_ms);`,
  `ALTER TABLE sessions ADD COLUMN checked INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE sessions ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE sessions ADD COLUMN unchecked INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE sessions ADD COLUMN disputed INTEGER NOT NULL DEFAULT 0;
   CREATE TABLE pruned_sessions (
     finished INTEGER NOT NULL, failed INTEGER NOT NULL, tokens INTEGER NOT NULL, checked INTEGER NOT NULL,
     settled INTEGER NOT NULL, unchecked INTEGER NOT NULL, disputed INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE trust (
     volunteer TEXT NOT NULL, numeric_class TEXT NOT NULL, spans INTEGER NOT NULL,
     PRIMARY KEY (volunteer, numeric_class)
   ) STRICT;
   CREATE TABLE trust_sources (
     volunteer TEXT NOT NULL, numeric_class TEXT NOT NULL, requester TEXT NOT NULL, spans INTEGER NOT NULL,
     PRIMARY KEY (volunteer, numeric_class, requester)
   ) STRICT;
   CREATE TABLE complaints (
     volunteer TEXT NOT NULL, requester TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (volunteer, requester)
   ) STRICT;
   CREATE TABLE suspensions (
     volunteer TEXT PRIMARY KEY, times INTEGER NOT NULL, until_ms INTEGER NOT NULL, reason TEXT NOT NULL
   ) STRICT;
   CREATE TABLE proven_faults (
     number INTEGER PRIMARY KEY, session TEXT NOT NULL, volunteer TEXT NOT NULL, model TEXT NOT NULL,
     range TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL, proof TEXT, UNIQUE (session, volunteer)
   ) STRICT;`,
  `CREATE TABLE log_acknowledged (origin TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;`,
  `CREATE TABLE receipts (
     id TEXT PRIMARY KEY, session TEXT NOT NULL, log TEXT NOT NULL, log_size INTEGER NOT NULL, log_index INTEGER,
     at_ms INTEGER NOT NULL, envelope TEXT
   ) STRICT;
   CREATE INDEX receipts_by_session ON receipts (session);
   CREATE INDEX receipts_by_time ON receipts (at_ms);
   CREATE TABLE log_growth (log TEXT NOT NULL, at_ms INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (log, at_ms)) STRICT;`,
  `CREATE TABLE listed_log (log TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
   CREATE TABLE listed_receipts (
     log_index INTEGER PRIMARY KEY, id TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL, requester TEXT NOT NULL,
     finished_at TEXT NOT NULL
   ) STRICT;
   CREATE INDEX listed_by_time ON listed_receipts (finished_at);
   CREATE INDEX listed_by_model ON listed_receipts (model, finished_at);
   CREATE INDEX listed_by_tier ON listed_receipts (tier, finished_at);
   CREATE INDEX listed_by_model_and_tier ON listed_receipts (model, tier, finished_at);`,
  // Spans from before were what requesters said: they show no more than an agreement that nobody saw.
  `CREATE TABLE earned_spans (
     volunteer TEXT NOT NULL, numeric_class TEXT NOT NULL, own INTEGER NOT NULL, others INTEGER NOT NULL,
     agreed INTEGER NOT NULL, first_witnessed_ms INTEGER, PRIMARY KEY (volunteer, numeric_class)
   ) STRICT;
   INSERT INTO earned_spans SELECT volunteer, numeric_class, 0, 0, spans, NULL FROM trust;
   DROP TABLE trust;
   DROP TABLE trust_sources;
   DROP TABLE complaints;
   CREATE TABLE hidden_faults (
     volunteer TEXT PRIMARY KEY, numeric_class TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL
   ) STRICT;`,
  `ALTER TABLE receipts ADD COLUMN number INTEGER;
   ALTER TABLE receipts ADD COLUMN previous TEXT;
   ALTER TABLE listed_receipts ADD COLUMN session TEXT;
   ALTER TABLE listed_receipts ADD COLUMN number INTEGER;
   ALTER TABLE listed_receipts ADD COLUMN previous TEXT;`,
];

/** Brings the database to the newest schema, whole or not at all. Throws `internal` if it is of a newer Chorus. */
export function migrate(database: Database.Database): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > SCHEMA_STEPS.length) throw new ChorusError('internal', 'the data folder was written by a newer Chorus');
  if (version === SCHEMA_STEPS.length) return;
  database.exec('BEGIN IMMEDIATE');
  for (const step of SCHEMA_STEPS.slice(version)) database.exec(step);
  database.exec(`PRAGMA user_version = ${SCHEMA_STEPS.length}`);
  database.exec('COMMIT');
}
