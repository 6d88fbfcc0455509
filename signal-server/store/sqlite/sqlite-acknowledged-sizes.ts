import type Database from 'libsql';
import type { AcknowledgedSizes } from '../acknowledged-sizes.ts';
import type { WriteGroup } from './write-group.ts';

export function createSqliteAcknowledgedSizes(database: Database.Database, writes: WriteGroup): AcknowledgedSizes {
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
    write: (origin, size) => writes.add(() => void write.run(origin, size)),
  };
}
