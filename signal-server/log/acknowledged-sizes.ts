import type Database from 'libsql';

/**
 * How many entries of each log were acknowledged, kept apart from the log's own folder so that an older copy of that
 * folder is noticed. May lag behind the log, never lead it.
 */
export interface AcknowledgedSizes {
  /** 0 for a log that has acknowledged nothing. */
  read(origin: string): number;
  /** The log that has acknowledged most; null if none has acknowledged anything. */
  largest(): { readonly origin: string; readonly size: number } | null;
  /** A smaller size than the one that is there changes nothing. */
  write(origin: string, size: number): void;
}

export function createAcknowledgedSizes(database: Database.Database): AcknowledgedSizes {
  const read = database.prepare('SELECT size FROM log_acknowledged WHERE origin = ?');
  const largest = database.prepare(
    'SELECT origin, size FROM log_acknowledged WHERE size > 0 ORDER BY size DESC LIMIT 1',
  );
  const write = database.prepare(
    `INSERT INTO log_acknowledged VALUES (?, ?)
     ON CONFLICT (origin) DO UPDATE SET size = max(size, excluded.size)`,
  );
  return {
    read(origin) {
      const row = read.get(origin) as { size: number } | undefined;
      return Number(row?.size ?? 0);
    },
    largest() {
      const row = largest.get() as { origin: string; size: number } | undefined;
      return row === undefined ? null : { origin: row.origin, size: Number(row.size) };
    },
    write: (origin, size) => void write.run(origin, size),
  };
}
