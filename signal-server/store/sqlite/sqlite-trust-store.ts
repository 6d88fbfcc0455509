import type Database from 'libsql';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import {
  MAX_PROOF_CHARACTERS,
  MAX_PROOFS,
  type EarnedSpans,
  type HiddenFault,
  type KeptFault,
  type SpanSource,
  type Suspension,
  type TrustStore,
} from '../trust-store.ts';
import type { WriteGroup } from './write-group.ts';

/** Standings kept in memory, since every plan of a route asks for them; all are read again beyond that. */
const MAX_KNOWN = 20_000;
const MAX_KNOWN_CLASSES = 8;

interface Known {
  readonly earned: Map<string, EarnedSpans>;
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
  const earned = one('SELECT * FROM earned_spans WHERE volunteer = ? AND numeric_class = ?');
  const addSpans = run(
    `INSERT INTO earned_spans VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (volunteer, numeric_class) DO UPDATE SET
       own = own + excluded.own, others = others + excluded.others, agreed = agreed + excluded.agreed,
       first_witnessed_ms = coalesce(first_witnessed_ms, excluded.first_witnessed_ms)`,
  );
  const dropWitnessed = run(
    'UPDATE earned_spans SET own = 0, others = 0, first_witnessed_ms = NULL WHERE volunteer = ?',
  );
  const dropAll = run('DELETE FROM earned_spans WHERE volunteer = ?');
  const hiddenFault = one('SELECT numeric_class, reason, at_ms FROM hidden_faults WHERE volunteer = ?');
  const addHiddenFault = run(
    `INSERT INTO hidden_faults VALUES (?, ?, ?, ?) ON CONFLICT (volunteer)
     DO UPDATE SET numeric_class = excluded.numeric_class, reason = excluded.reason, at_ms = excluded.at_ms`,
  );
  const pruneHiddenFaults = run('DELETE FROM hidden_faults WHERE at_ms < ?');
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
      found = { earned: new Map(), suspension: readSuspension(id) };
      known.set(id, found);
    }
    return found;
  }

  function earnedBy(id: PeerId, numericClass: string): EarnedSpans {
    const { earned: ofClasses } = standingOf(id);
    const found = ofClasses.get(numericClass) ?? earnedSpansOf(earned(id, numericClass));
    // Classes are the volunteer's own words.
    if (ofClasses.size >= MAX_KNOWN_CLASSES) ofClasses.clear();
    ofClasses.set(numericClass, found);
    return { ...found };
  }

  function credit(volunteer: PeerId, numericClass: string, source: SpanSource, spans: number, atMs: number): void {
    const added = (['own', 'others', 'agreed'] as const).map((each) => (each === source ? spans : 0));
    addSpans(volunteer, numericClass, ...added, source === 'agreed' ? null : atMs);
  }

  function failHidden(volunteer: PeerId, { numericClass, reason, atMs }: HiddenFault): void {
    dropWitnessed(volunteer);
    addHiddenFault(volunteer, numericClass, reason, atMs);
  }

  function readSuspension(volunteer: PeerId): Suspension | null {
    const row = suspension(volunteer);
    if (row === undefined) return null;
    return { times: Number(row['times']), untilMs: Number(row['until_ms']), reason: String(row['reason']) };
  }

  function convict(fault: KeptFault, proof: string | null, term: Suspension): void {
    const { session, volunteer, model, range, reason, atMs } = fault;
    const kept = (proof?.length ?? 0) <= MAX_PROOF_CHARACTERS ? proof : null;
    addFault(session, volunteer, model, JSON.stringify(range), reason, atMs, kept);
    dropProofs();
    dropAll(volunteer);
    suspend(volunteer, term.times, term.untilMs, term.reason);
  }

  return {
    credit: (volunteer, ...more) => change(volunteer, () => credit(volunteer, ...more)),
    failHidden: (volunteer, fault) => change(volunteer, () => failHidden(volunteer, fault)),
    convict: (fault, ...more) => change(fault.volunteer, () => convict(fault, ...more)),
    prune: (beforeMs) => writes.add(() => pruneHiddenFaults(beforeMs)),
    earned: earnedBy,
    hiddenFault(volunteer) {
      const row = hiddenFault(volunteer);
      if (row === undefined) return null;
      return { numericClass: String(row['numeric_class']), reason: String(row['reason']), atMs: Number(row['at_ms']) };
    },
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

function earnedSpansOf(row: Record<string, unknown> = {}): EarnedSpans {
  const [own, others, agreed] = ['own', 'others', 'agreed'].map((source) => Number(row[source] ?? 0)) as [
    number,
    number,
    number,
  ];
  const firstMs = row['first_witnessed_ms'] ?? null;
  return { own, others, agreed, firstWitnessedMs: firstMs === null ? null : Number(firstMs) };
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
