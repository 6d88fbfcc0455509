import { ChorusError } from '#shared/errors.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { formatVerifierKey, parseNote, parseVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';
import { EMPTY_HEAD, type WitnessedHead } from '#shared/log/witness.ts';
import { closeLocked, openLocked } from '../store/locked-database.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS witness (name TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS logs (origin TEXT PRIMARY KEY, vkey TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS heads (origin TEXT PRIMARY KEY, note TEXT NOT NULL) STRICT;`;

/** What a witness must not forget. A call that has returned has reached the disk. */
export interface WitnessStore {
  /** The name under which this witness signs, chosen once. Throws `internal` if `wanted` is another. */
  name(wanted: string | null, otherwise: string): string;
  /**
   * Remembers the key of a log when it is first seen. Throws `wrong-peer` if another key was seen for its origin before.
   */
  watch(key: NoteKey): void;
  /** The logs seen so far. */
  readonly logs: readonly NoteKey[];
  /** The newest checkpoint this witness has cosigned, with both signatures; null before the first. */
  note(origin: string): string | null;
  /**
   * Puts `note` in the place of the newest checkpoint, if `isNext` says of the one that is there now that it may; both
   * are one step, whoever else is at it.
   */
  advance(origin: string, note: string, isNext: (known: WitnessedHead) => boolean): boolean;
  close(): void;
}

/** Throws ChorusError `internal` if another process has it. */
export function openWitnessStore(path: string): WitnessStore {
  const database = openLocked(path, (opened) => opened.exec(SCHEMA));
  const readName = database.prepare('SELECT name FROM witness');
  const setName = database.prepare('INSERT INTO witness VALUES (?)');
  const readLogs = database.prepare('SELECT vkey FROM logs ORDER BY origin');
  const addLog = database.prepare('INSERT OR IGNORE INTO logs VALUES (?, ?)');
  const readLog = database.prepare('SELECT vkey FROM logs WHERE origin = ?');
  const readNote = database.prepare('SELECT note FROM heads WHERE origin = ?');
  const setNote = database.prepare(
    'INSERT INTO heads VALUES (?, ?) ON CONFLICT (origin) DO UPDATE SET note = excluded.note',
  );
  const noteOf = (origin: string): string | null => {
    const row = readNote.get(origin) as { note: string } | undefined;
    return row?.note ?? null;
  };
  const advance = database.transaction((origin: string, note: string, isNext: (known: WitnessedHead) => boolean) => {
    const known = noteOf(origin);
    if (!isNext(known === null ? EMPTY_HEAD : headOf(known))) return false;
    setNote.run(origin, note);
    return true;
  });
  return {
    name(wanted, otherwise) {
      const row = readName.get() as { name: string } | undefined;
      const name = row?.name ?? wanted ?? otherwise;
      if (wanted !== null && wanted !== name) {
        throw new ChorusError(
          'internal',
          `this witness is ${name}: a key has one name, so ${wanted} needs its own --data`,
        );
      }
      if (row === undefined) setName.run(name);
      return name;
    },
    watch(key) {
      const vkey = formatVerifierKey(key);
      addLog.run(key.name, vkey);
      const { vkey: known } = readLog.get(key.name) as { vkey: string };
      if (known === vkey) return;
      throw new ChorusError('wrong-peer', `the log ${key.name} had the key ${known} before, and now shows ${vkey}`);
    },
    get logs() {
      return (readLogs.all() as { vkey: string }[]).map(({ vkey }) => parseVerifierKey(vkey));
    },
    note: noteOf,
    advance: (origin, note, isNext) => advance.immediate(origin, note, isNext),
    close: () => closeLocked(database),
  };
}

function headOf(note: string): WitnessedHead {
  return parseCheckpoint(parseNote(note).text);
}
