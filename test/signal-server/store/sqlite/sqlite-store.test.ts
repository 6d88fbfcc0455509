import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { SCHEMA_STEPS } from '../../../../signal-server/store/sqlite/schema.ts';
import { openSqliteStore } from '../../../../signal-server/store/sqlite/sqlite-store.ts';
import { HISTORY_MS, pruneStore } from '../../../../signal-server/store/store.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { session, volunteer } from '../../../support/past-session.ts';

describe('a store in SQLite', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chorus-store-'));
    path = join(folder, 'chorus.sqlite');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is not opened twice at once', async () => {
    const store = await openSqliteStore(folder);
    expect(await codeOfAsync(openSqliteStore(folder))).toBe('internal');
    await expect(openSqliteStore(folder)).rejects.toMatchObject({
      message: expect.stringContaining(`another program is using ${path}. Does a server run on this folder`) as string,
      details: { exitStatus: 2 },
    });
    await store.close();
    await (await openSqliteStore(folder)).close();
  });

  it.each([
    ['cut', (file: FileHandle, size: number) => file.truncate(size / 2)],
    ['overwritten at its begin', (file: FileHandle) => file.write(Buffer.alloc(4096, 0xa5), 0, 4096, 0)],
    [
      'overwritten within',
      (file: FileHandle, size: number) => file.write(Buffer.alloc(size - 8192, 0xa5), 0, size - 8192, 8192),
    ],
  ])('is not opened where it is %s', async (_, damage) => {
    await (await openSqliteStore(folder)).close();
    const file = await open(path, 'r+');
    await damage(file, (await file.stat()).size);
    await file.close();
    await expect(openSqliteStore(folder)).rejects.toMatchObject({
      code: expect.stringMatching(/^SQLITE_(?:CORRUPT|NOTADB)$/) as string,
    });
  });

  it('says with the system’s code why its file cannot be opened', async () => {
    await mkdir(path);
    await expect(openSqliteStore(folder)).rejects.toMatchObject({ code: 'EISDIR', path });
    await rm(path, { recursive: true });
    await mkdir(`${path}-wal`);
    await expect(openSqliteStore(folder)).rejects.toMatchObject({ code: 'EISDIR', path: `${path}-wal` });
    await expect(openSqliteStore(join(folder, 'none'))).rejects.toMatchObject({ code: 'SQLITE_CANTOPEN' });
  });

  it('holds all that was acknowledged when its process is killed', async () => {
    const program = fileURLToPath(new URL('../../../support/record-sessions.mjs', import.meta.url));
    const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      if (output.split('\n').length > 50) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const acknowledged = output.split('\n').length - 1;
    expect(acknowledged).toBeGreaterThanOrEqual(50);
    const store = await openSqliteStore(folder);
    const { finished, checked } = store.history.totals;
    expect(finished).toBeGreaterThanOrEqual(acknowledged);
    expect(checked).toBe(finished);
    expect(store.history.volunteer(volunteer)).toMatchObject({ sessions: finished, tokens: finished });
    const faults = store.trust.faults(1e6);
    expect(faults.length).toBeGreaterThanOrEqual(acknowledged);
    expect(store.trust.suspension(volunteer)).toMatchObject({ times: faults.length, untilMs: faults.length });
    expect(await store.trust.proof(faults[0]!.session, volunteer)).toBe('{"proof":true}');
    // A fault takes all that was earned, in the same step.
    expect(store.trust.earned(volunteer, 'wasm').own).toBeLessThanOrEqual(1);
    const [other, failed] = ['d', 'e'].map((digit) => digit.repeat(64) as PeerId) as [PeerId, PeerId];
    expect(store.trust.earned(other, 'wasm')).toMatchObject({ others: faults.length, firstWitnessedMs: 0 });
    expect(store.trust.hiddenFault(failed)).toMatchObject({ atMs: faults.length - 1 });
    await store.close();
  });

  it('takes over what an older Chorus wrote', async () => {
    writeVersion1(path);
    const store = await openSqliteStore(folder);
    expect(store.history.totals).toEqual({
      ...{ finished: 1, failed: 0, tokens: 7 },
      ...{ checked: 0, settled: 0, unchecked: 0, disputed: 0 },
    });
    await store.history.sessionEnded({ ...session, id: '1'.repeat(32) as SessionId });
    expect(store.history.totals).toMatchObject({ finished: 2, checked: 3 });
    expect(store.trust.suspension(volunteer)).toBeNull();
    await store.close();
    await (await openSqliteStore(folder)).close();
  });

  it('counts what requesters said before as agreed, and keeps suspensions and proven faults', async () => {
    writeVersion5(path);
    const store = await openSqliteStore(folder);
    const nothing = { own: 0, others: 0, firstWitnessedMs: null };
    expect(store.trust.earned(volunteer, 'wasm')).toEqual({ ...nothing, agreed: 50 });
    expect(store.trust.earned(volunteer, 'webgpu/x')).toEqual({ ...nothing, agreed: 7 });
    expect(store.trust.suspension(volunteer)).toEqual({ times: 2, untilMs: 9, reason: 'it lied' });
    expect(store.trust.faults(9)).toMatchObject([{ volunteer, reason: 'it lied', atMs: 3 }]);
    await store.trust.credit(volunteer, 'wasm', 'own', 1, 4);
    expect(store.trust.earned(volunteer, 'wasm')).toEqual({ own: 1, others: 0, agreed: 50, firstWitnessedMs: 4 });
    await store.close();
  });

  it('refuses what a newer Chorus wrote', async () => {
    const database = new Database(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(await codeOfAsync(openSqliteStore(folder))).toBe('internal');
  });

  it('confirms what is under way before it is closed', async () => {
    const store = await openSqliteStore(folder);
    const ended = store.history.sessionEnded(session);
    await store.close();
    await ended;
    const again = await openSqliteStore(folder);
    expect(again.history.totals).toMatchObject({ finished: 1, tokens: 7 });
    await again.close();
  });

  it('takes nothing once it is closed, and may be closed again', async () => {
    const store = await openSqliteStore(folder);
    await store.close();
    expect(await codeOfAsync(store.history.sessionEnded(session))).toBe('internal');
    await store.close();
    const again = await openSqliteStore(folder);
    expect(again.history.totals.finished).toBe(0);
    await again.close();
  });

  it('drops sessions and reasons of lost standings that are older than its history', async () => {
    const store = await openSqliteStore(folder);
    await store.history.sessionEnded({ ...session, endedMs: 1_000 });
    await store.trust.failHidden(volunteer, { numericClass: 'wasm', reason: 'it lied', atMs: 1_000 });
    await pruneStore(store, HISTORY_MS + 1_000);
    expect(store.trust.hiddenFault(volunteer)).toMatchObject({ reason: 'it lied' });
    await pruneStore(store, HISTORY_MS + 1_001);
    expect(store.trust.hiddenFault(volunteer)).toBeNull();
    // Known no longer, it counts again.
    await store.history.sessionEnded({ ...session, endedMs: 1_000 });
    expect(store.history.totals).toMatchObject({ finished: 2 });
    await store.close();
  });
});

/** A database as the fifth version of the schema had it, with trust. */
function writeVersion5(path: string): void {
  const database = new Database(path);
  for (const step of SCHEMA_STEPS.slice(0, 5)) database.exec(step);
  database.exec(`
    INSERT INTO trust VALUES ('${volunteer}', 'wasm', 50), ('${volunteer}', 'webgpu/x', 7);
    INSERT INTO trust_sources VALUES ('${volunteer}', 'webgpu/x', '${session.requester}', 5);
    INSERT INTO complaints VALUES ('${volunteer}', '${session.requester}', 1);
    INSERT INTO suspensions VALUES ('${volunteer}', 2, 9, 'it lied');
    INSERT INTO proven_faults VALUES (1, '${session.id}', '${volunteer}', '${session.model}', '{"start":0}', 'it lied', 3, NULL);
    PRAGMA user_version = 5;
  `);
  database.close();
}

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
