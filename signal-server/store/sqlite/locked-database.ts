import Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';

/**
 * Opens a database that only this process can use until `closeLocked`. A transaction that has returned has reached the disk
 * (WAL with synchronous FULL). `migrate` brings its tables up to date. Throws ChorusError `internal` if another process
 * has it.
 */
export function openLocked(path: string, migrate: (database: Database.Database) => void): Database.Database {
  const database = new Database(path);
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    migrate(database);
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) {
      throw new ChorusError('internal', `another program is using ${path}`);
    }
    throw error;
  }
  return database;
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
