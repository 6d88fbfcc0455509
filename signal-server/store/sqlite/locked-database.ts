import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';

/** SQLite's own default. */
const CHECKPOINT_PAGES = 1000;

/** What is larger is found damaged only where it is read: a check reads all of it, 200 MB in a tenth of a second. */
const MAX_CHECKED_BYTES = 512 * 1024 * 1024;

/**
 * Opens a database that only this process can use until `closeLocked`. A transaction that has returned has reached the disk
 * (WAL with synchronous FULL). `migrate` brings its tables up to date. Throws ChorusError `internal` if another process
 * has it.
 */
export function openLocked(path: string, migrate: (database: Database.Database) => void): Database.Database {
  const database = openFile(path);
  try {
    // The files that SQLite adds have the rights of this one.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    if (statSync(path).size <= MAX_CHECKED_BYTES) demandSound(database);
    migrate(database);
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      const advice = 'Does a server run on this folder already? Stop it, or name another folder with --data';
      throw new ChorusError('internal', `another program is using ${path}. ${advice}.`, { exitStatus: 2 });
    }
    demandUsable(path);
    throw error;
  }
  return database;
}

/** The package names no reason why it cannot open a file; the system does. */
function openFile(path: string): Database.Database {
  try {
    return new Database(path);
  } catch (error) {
    demandUsable(path);
    throw Object.assign(new Error('unable to open database file', { cause: error }), { code: 'SQLITE_CANTOPEN' });
  }
}

/** Throws the system's own reason where it does not let this process have one of the database's files. */
function demandUsable(path: string): void {
  for (const each of [path, `${path}-wal`, `${path}-journal`]) if (existsSync(each)) closeSync(openSync(each, 'r+'));
}

/** Throws as SQLite does where it comes upon a damaged page. */
function demandSound(database: Database.Database): void {
  const { quick_check: found } = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
  if (found !== 'ok') throw Object.assign(new Error(found), { code: 'SQLITE_CORRUPT' });
}

/**
 * Copies a database that is open at `path`, as it is when this is called; nobody may be in a transaction. Until the copy is
 * made the file stays as it is, and writes go to the WAL alone.
 */
export async function copyOpened(database: Database.Database, path: string, to: string): Promise<void> {
  const { busy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
  if (busy !== 0) throw new ChorusError('internal', `${path} is being copied already`);
  database.exec('PRAGMA wal_autocheckpoint = 0');
  try {
    await copyFile(path, to);
    const copy = await open(to, 'r+');
    try {
      await copy.sync();
    } finally {
      await copy.close();
    }
  } finally {
    database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  }
}

/** Gives the lock back. On a disk that takes no more it stays until the process ends; what is confirmed stays all the same. */
export function closeLocked(database: Database.Database): void {
  try {
    // The package closes the file only once its statements are collected, which may be never. Without WAL the lock can
    // be given back before that, with the next read, and the database is a single file again.
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('PRAGMA locking_mode = NORMAL');
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
  } catch {
    // The next start reads what is in the WAL.
  }
  database.close();
}
