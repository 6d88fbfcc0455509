import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import { HISTORY_MS, openStore, type SessionRecord } from '../../../signal-server/store/store.ts';
import type { ProvenFault } from '../../../signal-server/trust/trust-store.ts';
import { codeOf } from '../../support/code-of.ts';

const volunteer = 'a'.repeat(64) as PeerId;
const session: SessionRecord = {
  id: '0'.repeat(32) as SessionId,
  model: 'b'.repeat(64) as Digest,
  requester: 'c'.repeat(64) as PeerId,
  issuedMs: 1,
  endedMs: 2,
  outcome: 'done',
  tokens: 7,
  tokensPerSecond: 3.5,
  primaries: [volunteer],
  faults: [],
  checks: { checked: 3, settled: 1, unchecked: 2, disputed: 0 },
};

describe('the store', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chorus-store-'));
    path = join(folder, 'chorus.sqlite');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('keeps what it was told when opened again', () => {
    const store = openStore(path);
    store.volunteerSeen(volunteer, 'tab', 5);
    store.volunteerSeen(volunteer, 'cli', 9);
    store.sessionEnded(session);
    store.close();
    const again = openStore(path);
    expect(again.volunteer(volunteer)).toEqual({
      kind: 'cli',
      firstSeenMs: 5,
      lastSeenMs: 9,
      sessions: 1,
      tokens: 7,
      faults: 0,
    });
    expect(again.totals()).toEqual({ finished: 1, failed: 0, tokens: 7, ...session.checks });
    again.close();
  });

  it('counts a session once, however often it is told', () => {
    const store = openStore(path);
    store.volunteerSeen(volunteer, 'tab', 5);
    store.sessionEnded(session);
    store.sessionEnded({ ...session, tokens: 100 });
    expect(store.volunteer(volunteer)).toMatchObject({ sessions: 1, tokens: 7 });
    store.close();
  });

  it('knows nothing of volunteers it was not told of', () => {
    const store = openStore(path);
    store.sessionEnded(session);
    expect(store.volunteer(volunteer)).toBeNull();
    store.close();
  });

  it('is not opened twice at once', () => {
    const store = openStore(path);
    expect(codeOf(() => openStore(path))).toBe('internal');
    store.close();
    openStore(path).close();
  });

  it('holds all that was acknowledged when its process is killed', async () => {
    const program = fileURLToPath(new URL('../../support/record-sessions.mjs', import.meta.url));
    const child = spawn(process.execPath, [program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      if (output.split('\n').length > 50) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const acknowledged = output.split('\n').length - 1;
    const store = openStore(path);
    const { finished, checked } = store.totals();
    expect(finished).toBeGreaterThanOrEqual(acknowledged);
    expect(checked).toBe(finished);
    expect(store.volunteer(volunteer)).toMatchObject({ sessions: finished, tokens: finished });
    const faults = store.trust.faults(1e6);
    expect(faults.length).toBeGreaterThanOrEqual(acknowledged);
    expect(store.trust.suspension(volunteer)).toMatchObject({ times: faults.length, untilMs: faults.length });
    expect(store.trust.proof(faults[0]!.session, volunteer)).toBe('{"proof":true}');
    // A fault takes all that was earned, in the same step.
    expect(store.trust.spans(volunteer, 'wasm')).toBeLessThanOrEqual(1);
    store.close();
  });

  it('takes over what an older Chorus wrote', () => {
    writeVersion1(path);
    const store = openStore(path);
    expect(store.totals()).toEqual({
      ...{ finished: 1, failed: 0, tokens: 7 },
      ...{ checked: 0, settled: 0, unchecked: 0, disputed: 0 },
    });
    store.sessionEnded({ ...session, id: '1'.repeat(32) as SessionId });
    expect(store.totals()).toMatchObject({ finished: 2, checked: 3 });
    expect(store.trust.suspension(volunteer)).toBeNull();
    store.close();
    openStore(path).close();
  });

  it('refuses what a newer Chorus wrote', () => {
    const database = new Database(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(codeOf(() => openStore(path))).toBe('internal');
  });

  it('drops old sessions and keeps what they add up to', () => {
    const store = openStore(path);
    const recordAt = (digit: string, endedMs: number): void =>
      store.sessionEnded({ ...session, id: digit.repeat(32) as SessionId, endedMs });
    recordAt('1', 1_000);
    recordAt('2', 2_000);
    const before = store.totals();
    store.prune(HISTORY_MS + 1_500);
    expect(store.totals()).toEqual(before);
    // The first is no longer known, the second is.
    recordAt('1', 1_000);
    recordAt('2', 2_000);
    expect(store.totals()).toMatchObject({ finished: 3, checked: 9, settled: 3, unchecked: 6 });
    store.prune(2 * HISTORY_MS);
    store.prune(3 * HISTORY_MS);
    expect(store.totals()).toMatchObject({ finished: 3, tokens: 21 });
    store.close();
  });

  it('keeps every fault, and the newest proofs of a bounded size', () => {
    const store = openStore(path);
    const term = { times: 1, untilMs: 1, reason: 'it lied' };
    const range = { start: 0, end: 4, embedding: true, head: false };
    const faultOf = (i: number): ProvenFault => ({
      session: i.toString(16).padStart(32, '0') as SessionId,
      ...{ volunteer, model: session.model, range, reason: 'it lied', atMs: i },
    });
    for (let i = 0; i < 250; i++) store.trust.convict(faultOf(i), `proof ${i}`, term);
    expect(store.trust.faults(1_000)).toHaveLength(250);
    expect(store.trust.faults(2)).toEqual([faultOf(249), faultOf(248)]);
    expect(store.trust.proof(faultOf(249).session, volunteer)).toBe('proof 249');
    expect(store.trust.proof(faultOf(49).session, volunteer)).toBeNull();
    store.trust.convict(faultOf(250), 'x'.repeat(600 * 1024), term);
    expect(store.trust.proof(faultOf(250).session, volunteer)).toBeNull();
    store.close();
  });
});

/** A database as the first version of the schema had it, with one session. */
function writeVersion1(path: string): void {
  const database = new Database(path);
  database.exec(`
    CREATE TABLE volunteers (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
      sessions INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0, faults INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE sessions (
      id TEXT PRIMARY KEY, model TEXT NOT NULL, requester TEXT NOT NULL, issued_ms INTEGER NOT NULL,
      ended_ms INTEGER NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, tokens_per_second REAL,
      stages INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_end ON sessions (ended_ms);
    INSERT INTO sessions VALUES ('${session.id}', '${session.model}', '${session.requester}', 1, 2, 'done', 7, 3.5, 1);
    PRAGMA user_version = 1;
  `);
  database.close();
}
