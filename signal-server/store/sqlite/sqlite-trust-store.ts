import type Database from 'libsql';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { MAX_PROOF_CHARACTERS, MAX_PROOFS, type KeptFault, type Suspension, type TrustStore } from '../trust-store.ts';
import type { WriteGroup } from './write-group.ts';

/** Standings kept in memory, since every plan of a route asks for them; all are read again beyond that. */
const MAX_KNOWN = 20_000;
const MAX_KNOWN_CLASSES = 8;

interface Known {
  readonly spans: Map<string, number>;
  readonly suspension: Suspension | null;
}

export function createSqliteTrustStore(database: Database.Database, writes: WriteGroup): TrustStore {
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

  const known = new Map<PeerId, Known>();
  writes.onUndone(() => known.clear());

  /** A write that changes what is known of this key. */
  const change = (volunteer: PeerId, write: () => void): Promise<void> =>
    writes.add(() => {
      known.delete(volunteer);
      write();
    });

  function standingOf(id: PeerId): Known {
    let found = known.get(id);
    if (found === undefined) {
      if (known.size >= MAX_KNOWN) known.clear();
      found = { spans: new Map(), suspension: readSuspension(id) };
      known.set(id, found);
    }
    return found;
  }

  function spansOf(id: PeerId, numericClass: string): number {
    const { spans: ofClasses } = standingOf(id);
    const found = ofClasses.get(numericClass) ?? Number(spans(id, numericClass)?.['spans'] ?? 0);
    // Classes are the volunteer's own words.
    if (ofClasses.size >= MAX_KNOWN_CLASSES) ofClasses.clear();
    ofClasses.set(numericClass, found);
    return found;
  }

  function readSuspension(volunteer: PeerId): Suspension | null {
    const row = suspension(volunteer);
    if (row === undefined) return null;
    return { times: Number(row['times']), untilMs: Number(row['until_ms']), reason: String(row['reason']) };
  }

  function convict(fault: KeptFault, proof: string, term: Suspension): void {
    const { session, volunteer, model, range, reason, atMs } = fault;
    const kept = proof.length <= MAX_PROOF_CHARACTERS ? proof : null;
    addFault(session, volunteer, model, JSON.stringify(range), reason, atMs, kept);
    dropProofs();
    reset(volunteer);
    suspend(volunteer, term.times, term.untilMs, term.reason);
  }

  return {
    credit: (volunteer, numericClass, requester, credited) =>
      change(volunteer, () => {
        addSpans(volunteer, numericClass, credited);
        addSource(volunteer, numericClass, requester, credited);
      }),
    forgetSources: (...key) => writes.add(() => forgetSources(...key)),
    complain: (...complaint) => writes.add(() => addComplaint(...complaint)),
    reset: (volunteer) => change(volunteer, () => reset(volunteer)),
    convict: (fault, ...more) => change(fault.volunteer, () => convict(fault, ...more)),
    prune: (beforeMs) => writes.add(() => pruneComplaints(beforeMs)),
    spans: spansOf,
    spansFrom: (...key) => Number(source(...key)?.['spans'] ?? 0),
    complaints: (volunteer, sinceMs) => Number(complaints(volunteer, sinceMs)?.['count']),
    suspension(volunteer) {
      const found = standingOf(volunteer).suspension;
      return found && { ...found };
    },
    suspendedAt: (atMs) => Number(suspended(atMs)?.['count']),
    isProven: (session, volunteer) => fault(session, volunteer) !== undefined,
    faults: (count) => (faults.all(count) as Record<string, unknown>[]).map(keptFaultOf),
    proof: async (session, volunteer) => (fault(session, volunteer)?.['proof'] ?? null) as string | null,
  };
}

function keptFaultOf(row: Record<string, unknown>): KeptFault {
  return {
    session: row['session'] as SessionId,
    volunteer: row['volunteer'] as PeerId,
    model: row['model'] as Digest,
    range: JSON.parse(String(row['range'])) as StageRange,
    reason: String(row['reason']),
    atMs: Number(row['at_ms']),
  };
}
