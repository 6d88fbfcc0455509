import { join } from 'node:path';
import { formatVerifierKey, parseVerifierKey } from '#shared/log/signed-note.ts';
import type { WitnessStore } from '../witness-store.ts';
import { closeLocked, openLocked } from './locked-database.ts';
import { WriteGroup } from './write-group.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS witness (name TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS logs (origin TEXT PRIMARY KEY, vkey TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS heads (origin TEXT PRIMARY KEY, note TEXT NOT NULL) STRICT;`;

/** Opens `witness.sqlite` in a folder, and keeps it locked until `close`. Throws `internal` if another process has it. */
export async function openSqliteWitnessStore(folder: string): Promise<WitnessStore> {
  const database = openLocked(join(folder, 'witness.sqlite'), (opened) => opened.exec(SCHEMA));
  const writes = new WriteGroup(database);
  const readName = database.prepare('SELECT name FROM witness');
  const setName = database.prepare('INSERT INTO witness VALUES (?)');
  const readLogs = database.prepare('SELECT vkey FROM logs ORDER BY origin');
  const addLog = database.prepare('INSERT OR IGNORE INTO logs VALUES (?, ?)');
  const readNote = database.prepare('SELECT note FROM heads WHERE origin = ?');
  const readNotes = database.prepare('SELECT origin, note FROM heads');
  const setNote = database.prepare(
    'INSERT INTO heads VALUES (?, ?) ON CONFLICT (origin) DO UPDATE SET note = excluded.note',
  );
  const nameThere = (): string | null => (readName.get() as { name: string } | undefined)?.name ?? null;
  const noteThere = (origin: string): string | null =>
    (readNote.get(origin) as { note: string } | undefined)?.note ?? null;
  const logsThere = (): string[] => (readLogs.all() as { vkey: string }[]).map(({ vkey }) => vkey);
  // Confirmed state only: the database shows also what is not.
  let name = nameThere();
  let logs = logsThere();
  const notes = new Map((readNotes.all() as { origin: string; note: string }[]).map((row) => [row.origin, row.note]));
  return {
    async nameItself(wanted) {
      const isNamed = await writes.add(() => {
        if (nameThere() !== null) return false;
        setName.run(wanted);
        return true;
      });
      if (isNamed) name = wanted;
      return isNamed;
    },
    async watch(key) {
      const isNew = await writes.add(() => addLog.run(key.name, formatVerifierKey(key)).changes > 0);
      if (isNew) logs = logsThere();
      return isNew;
    },
    async advance(origin, known, note) {
      const isNext = await writes.add(() => {
        if (noteThere(origin) !== known) return false;
        setNote.run(origin, note);
        return true;
      });
      if (isNext) notes.set(origin, note);
      return isNext;
    },
    get name() {
      return name;
    },
    get logs() {
      return logs.map(parseVerifierKey);
    },
    note: (origin) => notes.get(origin) ?? null,
    async close() {
      if (writes.close()) closeLocked(database);
    },
  };
}
