import type Database from 'libsql';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';

/** Proofs are kept for the operator: this many of the newest, none larger than this. */
const MAX_PROOFS = 200;
const MAX_PROOF_CHARACTERS = 512 * 1024;

export interface ProvenFault {
  readonly session: SessionId;
  readonly volunteer: PeerId;
  readonly model: Digest;
  readonly range: StageRange;
  /** For people. */
  readonly reason: string;
  readonly atMs: number;
}

export interface Suspension {
  /** How often the key has been suspended, this time included. */
  readonly times: number;
  readonly untilMs: number;
  readonly reason: string;
}

/** What is known of each key's work. Times are wall-clock milliseconds. */
export interface TrustStore {
  /** Spans credited to a key in a numeric class. */
  spans(volunteer: PeerId, numericClass: string): number;
  /** Of these, while the key was new, those that one requester brought. */
  spansFrom(volunteer: PeerId, numericClass: string, requester: PeerId): number;
  credit(volunteer: PeerId, numericClass: string, requester: PeerId, spans: number): void;
  /** Who brought what is no longer needed once a key is not new. */
  forgetSources(volunteer: PeerId, numericClass: string): void;
  /** Requesters that complained of this volunteer since `sinceMs`, this one included. */
  complain(volunteer: PeerId, requester: PeerId, atMs: number, sinceMs: number): number;
  /** All that a key has earned is gone, in every numeric class. */
  reset(volunteer: PeerId): void;
  suspension(volunteer: PeerId): Suspension | null;
  suspendedAt(atMs: number): number;
  isProven(session: SessionId, volunteer: PeerId): boolean;
  /** Records the fault with its proof, resets the key and suspends it, all or nothing. */
  convict(fault: ProvenFault, proof: string, suspension: Suspension): void;
  /** Newest first. */
  faults(count: number): ProvenFault[];
  /** The proof as it was reported, for the operator; null if it is no longer kept. */
  proof(session: SessionId, volunteer: PeerId): string | null;
  /** Drops complaints from before `beforeMs`. */
  prune(beforeMs: number): void;
}

export function createTrustStore(database: Database.Database): TrustStore {
  const one = (sql: string) => {
    const statement = database.prepare(sql);
    return (...values: (string | number)[]) => statement.get(...values) as Record<string, unknown> | undefined;
  };
  const run = (sql: string) => {
    const statement = database.prepare(sql);
    return (...values: (string | number | null)[]) => void statement.run(...values);
  };
  const spans = one('SELECT spans FROM trust WHERE volunteer = ? AND numeric_class = ?');
  const source = one('SELECT spans FROM trust_sources WHERE volunteer = ? AND numeric_class = ? AND requester = ?');
  const addSpans = run(
    `INSERT INTO trust VALUES (?, ?, ?)
     ON CONFLICT (volunteer, numeric_class) DO UPDATE SET spans = spans + excluded.spans`,
  );
  const addSource = run(
    `INSERT INTO trust_sources VALUES (?, ?, ?, ?)
     ON CONFLICT (volunteer, numeric_class, requester) DO UPDATE SET spans = spans + excluded.spans`,
  );
  const forgetSources = run('DELETE FROM trust_sources WHERE volunteer = ? AND numeric_class = ?');
  const addComplaint = run(
    `INSERT INTO complaints VALUES (?, ?, ?)
     ON CONFLICT (volunteer, requester) DO UPDATE SET at_ms = excluded.at_ms`,
  );
  const complaints = one('SELECT count(*) AS count FROM complaints WHERE volunteer = ? AND at_ms >= ?');
  const pruneComplaints = run('DELETE FROM complaints WHERE at_ms < ?');
  const resets = ['trust', 'trust_sources', 'complaints'].map((table) =>
    run(`DELETE FROM ${table} WHERE volunteer = ?`),
  );
  const suspension = one('SELECT times, until_ms, reason FROM suspensions WHERE volunteer = ?');
  const suspend = run(
    `INSERT INTO suspensions VALUES (?, ?, ?, ?) ON CONFLICT (volunteer)
     DO UPDATE SET times = excluded.times, until_ms = excluded.until_ms, reason = excluded.reason`,
  );
  const suspended = one('SELECT count(*) AS count FROM suspensions WHERE until_ms > ?');
  const fault = one('SELECT proof FROM proven_faults WHERE session = ? AND volunteer = ?');
  const addFault = run(
    `INSERT INTO proven_faults (session, volunteer, model, range, reason, at_ms, proof) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const dropProofs = run(
    `UPDATE proven_faults SET proof = NULL
     WHERE proof IS NOT NULL AND number <= (SELECT max(number) FROM proven_faults) - ${MAX_PROOFS}`,
  );
  const faults = database.prepare('SELECT * FROM proven_faults ORDER BY number DESC LIMIT ?');
  const reset = (volunteer: PeerId): void => resets.forEach((drop) => drop(volunteer));

  const credit = database.transaction(
    (volunteer: PeerId, numericClass: string, requester: PeerId, credited: number): void => {
      addSpans(volunteer, numericClass, credited);
      addSource(volunteer, numericClass, requester, credited);
    },
  );
  const convict = database.transaction((proven: ProvenFault, proof: string, term: Suspension): void => {
    const { session, volunteer, model, range, reason, atMs } = proven;
    const kept = proof.length <= MAX_PROOF_CHARACTERS ? proof : null;
    addFault(session, volunteer, model, JSON.stringify(range), reason, atMs, kept);
    dropProofs();
    reset(volunteer);
    suspend(volunteer, term.times, term.untilMs, term.reason);
  });
  return {
    spans: (...key) => Number(spans(...key)?.['spans'] ?? 0),
    spansFrom: (...key) => Number(source(...key)?.['spans'] ?? 0),
    credit: (...given) => credit(...given),
    forgetSources: (...key) => forgetSources(...key),
    complain(volunteer, requester, atMs, sinceMs) {
      addComplaint(volunteer, requester, atMs);
      return Number(complaints(volunteer, sinceMs)?.['count']);
    },
    reset: database.transaction(reset),
    suspension(volunteer) {
      const row = suspension(volunteer);
      if (row === undefined) return null;
      return { times: Number(row['times']), untilMs: Number(row['until_ms']), reason: String(row['reason']) };
    },
    suspendedAt: (atMs) => Number(suspended(atMs)?.['count']),
    isProven: (session, volunteer) => fault(session, volunteer) !== undefined,
    convict: (...given) => convict(...given),
    faults: (count) => (faults.all(count) as Record<string, unknown>[]).map(provenFaultOf),
    proof: (session, volunteer) => (fault(session, volunteer)?.['proof'] ?? null) as string | null,
    prune: (beforeMs) => pruneComplaints(beforeMs),
  };
}

function provenFaultOf(row: Record<string, unknown>): ProvenFault {
  return {
    session: row['session'] as SessionId,
    volunteer: row['volunteer'] as PeerId,
    model: row['model'] as Digest,
    range: JSON.parse(String(row['range'])) as StageRange,
    reason: String(row['reason']),
    atMs: Number(row['at_ms']),
  };
}
