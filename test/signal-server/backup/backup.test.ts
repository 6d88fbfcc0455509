import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import express from 'express';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { BackupDesk, orderBackup } from '../../../signal-server/backup/backup-desk.ts';
import { MANIFEST_FILE, signManifest } from '../../../signal-server/backup/backup-manifest.ts';
import { makeBackup, type BackupDeps } from '../../../signal-server/backup/make-backup.ts';
import { restoreBackup } from '../../../signal-server/backup/restore-backup.ts';
import { openLogService, type LogService } from '../../../signal-server/log/log-service.ts';
import { openDataFolder, type DataFolder } from '../../../signal-server/machine/data-folder.ts';
import { openSqliteStore, type SqliteStore } from '../../../signal-server/store/sqlite/sqlite-store.ts';
import { listen, newFolder, removeFolder } from '../../support/log-stand.ts';
import { realClock } from '../../support/real-clock.ts';

const madeAtMs = Date.UTC(2026, 2, 1);
const { signal } = new AbortController();

let root: string;
let dataFolder: DataFolder;
let store: SqliteStore;
let log: LogService;
let deps: BackupDeps;
let backup: string;
let restored: string;
const stops: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  root = await newFolder();
  [backup, restored] = [join(root, 'backup'), join(root, 'restored')];
  dataFolder = await openDataFolder(join(root, 'data'));
  ({ store, log } = await openServer(dataFolder.path));
  await mkdir(join(dataFolder.path, 'keys'));
  await writeFile(join(dataFolder.path, 'keys/anchor-1.key'), 'a key');
  const copyDatabase = (path: string): Promise<void> => store.copyTo(path);
  deps = { dataFolder, log, copyDatabase, clock: { wallMs: () => madeAtMs }, version: 'test' };
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await removeFolder(root);
});

/** What of a server has a data folder. */
async function openServer(path: string, unwitnessedStart = false): Promise<{ store: SqliteStore; log: LogService }> {
  const opened = await openSqliteStore(path);
  stops.push(() => opened.close());
  const service = await openLogService({
    ...{ dataFolder: path, origin: null, publicUrl: null, witnesses: [], clock: realClock, unwitnessedStart },
    acknowledged: opened.acknowledged,
    onError: (error) => {
      throw error;
    },
    onDoubt: () => {},
  });
  stops.push(() => service.stop());
  return { store: opened, log: service };
}

/** An entry in the log, and in the database that it is there. */
async function add(i: number): Promise<void> {
  await store.acknowledged.write('told.example', (await log.append(utf8(`entry ${i}`))) + 1);
}
const addAll = (from: number, to: number) => Promise.all(Array.from({ length: to - from }, (_, i) => add(from + i)));

describe('a backup', () => {
  it('of a server that goes on is of one moment, and what is put back knows its age', async () => {
    await addAll(0, 300);
    const adding = addAll(300, 600);
    const made = await makeBackup(backup, deps);
    await adding;
    await add(600);
    expect(log.status.size).toBe(601);
    expect(made.entries).toBeGreaterThanOrEqual(300);
    expect(await readFile(join(backup, 'server.key'), 'utf8')).toContain('PRIVATE KEY');
    expect((await stat(backup)).mode & 0o777).toBe(0o700);
    expect(await readdir(root)).not.toContain('backup.unfinished');

    const manifest = await restoreBackup(backup, restored, realClock);
    expect([manifest.madeAtMs, manifest.entries]).toEqual([madeAtMs, made.entries]);
    expect((await openDataFolder(restored)).serverIdentity.id).toBe(dataFolder.serverIdentity.id);
    const again = await openServer(restored);
    expect([again.log.status.size, again.log.verifierKey]).toEqual([made.entries, log.verifierKey]);
    // The database may lag behind the log, never lead it.
    const told = again.store.acknowledged.read('told.example');
    expect(told).toBeGreaterThanOrEqual(300);
    expect(told).toBeLessThanOrEqual(made.entries);
  });

  it('that was put back takes no entry until somebody knows that it is the newest', async () => {
    await addAll(0, 3);
    await makeBackup(backup, deps);
    await restoreBackup(backup, restored, realClock);
    for (let times = 0; times < 2; times++) {
      const { log: unknown } = await openServer(restored);
      await expect(unknown.append(utf8('x'))).rejects.toThrow('it was put back from a backup');
      await stops.pop()!();
      await stops.pop()!();
    }
    const { log: known } = await openServer(restored, true);
    expect(await known.append(utf8('x'))).toBe(3);
    await stops.pop()!();
    await stops.pop()!();
    const { log: later } = await openServer(restored);
    expect(await later.append(utf8('y'))).toBe(4);
  });

  it('is made into a new folder only, and put back into one', async () => {
    await makeBackup(backup, deps);
    await expect(makeBackup(backup, deps)).rejects.toThrow(`${backup} is not empty`);
    await expect(restoreBackup(backup, dataFolder.path, realClock)).rejects.toThrow('is not empty');
    await mkdir(restored);
    await restoreBackup(backup, restored, realClock);
  });

  it('is neither made in the folder that it is of, nor put back into itself', async () => {
    const within = { code: 'bad-message', details: { exitStatus: 2 } };
    await expect(makeBackup(join(dataFolder.path, 'backup'), deps)).rejects.toMatchObject(within);
    await makeBackup(backup, deps);
    await expect(restoreBackup(backup, join(backup, 'data'), realClock)).rejects.toMatchObject(within);
    expect(await readdir(dataFolder.path)).not.toContain('backup');
    expect(await readdir(backup)).not.toContain('data');
  });

  it('of which two are asked for at once is made once', async () => {
    const [first, second] = await Promise.allSettled([makeBackup(backup, deps), makeBackup(join(root, 'other'), deps)]);
    expect([first.status, second.status].sort()).toEqual(['fulfilled', 'rejected']);
    expect(await readdir(root)).toHaveLength(2);
  });
});

describe('a backup that is not whole', () => {
  beforeEach(async () => {
    await addAll(0, 3);
    await makeBackup(backup, deps);
  });

  it.each([
    ['a file is longer', 'is not what was backed up', () => appendFile(join(backup, 'chorus.sqlite'), 'x')],
    ['a byte is another', 'is not what was backed up', () => writeFile(join(backup, 'keys/anchor-1.key'), 'A key')],
    ['a file is missing', 'is missing: the backup is not whole', () => rm(join(backup, 'log/checkpoint'))],
    ['a folder stands for a file', 'is missing: the backup is not whole', () => folderAt('log/checkpoint')],
    [
      'its manifest is of another form',
      'the envelope is not in its form',
      () => writeFile(join(backup, MANIFEST_FILE), '{}'),
    ],
    ['its key is missing', 'server.key is missing', () => rm(join(backup, 'server.key'))],
    ['it was cut off', 'is no backup, or one that was cut off', () => rm(join(backup, MANIFEST_FILE))],
    ['its manifest is cut', 'is not what was signed', () => writeFile(join(backup, MANIFEST_FILE), '{"payload')],
    ['its manifest was edited', 'is not what was signed', edited],
    ['a path leads out of it', 'is not what was signed', () => signed('../data/server.key')],
    ['a path is hidden', 'is not what was signed', () => signed('log/.checkpoint')],
  ])('is not put back: %s', async (_, reason, damage) => {
    await damage();
    await expect(restoreBackup(backup, restored, realClock)).rejects.toThrow(reason);
    expect(await readdir(root)).toEqual(['backup', 'data']);
  });

  async function folderAt(path: string): Promise<void> {
    await rm(join(backup, path));
    await mkdir(join(backup, path));
  }

  async function edited(): Promise<void> {
    const path = join(backup, MANIFEST_FILE);
    const envelope = JSON.parse(await readFile(path, 'utf8')) as { payload: string };
    const payload = Buffer.from(envelope.payload, 'base64').toString().replace('"entries":3', '"entries":4');
    await writeFile(path, JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') }));
  }

  async function signed(path: string): Promise<void> {
    const files = [{ path, bytes: 0, sha256: 'a'.repeat(64) as never }];
    const manifest = { format: 'chorus-backup/1', madeAtMs, version: 'test', entries: 0, files } as const;
    await writeFile(
      join(backup, MANIFEST_FILE),
      JSON.stringify(await signManifest(manifest, dataFolder.serverIdentity)),
    );
  }
});

describe('a server that runs', () => {
  it('makes a backup for whoever can read its folder, and for nobody else', async () => {
    const desk = new BackupDesk(dataFolder.path, (folder) => makeBackup(folder, deps));
    const server = await listen(express().use(desk.router));
    stops.push(() => server.stop());
    expect(await orderBackup(dataFolder.path, backup, signal)).toBeNull();
    await desk.open(server.url.href);
    expect((await stat(join(dataFolder.path, 'running.json'))).mode & 0o777).toBe(0o600);
    for (const authorization of ['', 'Bearer', `Bearer ${'0'.repeat(32)}`]) {
      const init = {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: '{"folder":"/x"}',
      };
      expect((await fetch(new URL('/api/backup', server.url), init)).status).toBe(404);
    }
    expect(await orderBackup(dataFolder.path, backup, signal)).toMatchObject({ folder: backup, entries: 0 });
    await expect(orderBackup(dataFolder.path, backup, signal)).rejects.toMatchObject({
      message: expect.stringContaining('is not empty') as string,
      details: { exitStatus: 2 },
    });
    await desk.close();
    expect(await orderBackup(dataFolder.path, join(root, 'other'), signal)).toBeNull();
  });

  it('and cannot say where it is says why, stops all the same, and leaves nothing behind once it stops', async () => {
    const path = join(dataFolder.path, 'running.json');
    const desk = () => new BackupDesk(dataFolder.path, () => Promise.reject(new Error('never')));
    await mkdir(path);
    const refused = desk();
    await expect(refused.open('http://127.0.0.1:1')).rejects.toThrow(
      `${path} cannot be used: something else lies there`,
    );
    await refused.close();
    await expect(orderBackup(dataFolder.path, backup, signal)).rejects.toThrow(`${path} cannot be used`);
    await rm(path, { recursive: true });
    // Told to stop while it starts, it says so too late.
    const late = desk();
    const opening = late.open('http://127.0.0.1:1');
    await late.close();
    await opening;
    await late.open('http://127.0.0.1:1');
    expect(await readdir(dataFolder.path)).not.toContain('running.json');
  });

  it('and was killed is taken for none', async () => {
    await new BackupDesk(dataFolder.path, () => Promise.reject(new Error('never'))).open('http://127.0.0.1:1');
    expect(await orderBackup(dataFolder.path, backup, signal)).toBeNull();
    await writeFile(join(dataFolder.path, 'running.json'), 'cut o');
    expect(await orderBackup(dataFolder.path, backup, signal)).toBeNull();
  });
});
