import type { NoteKey } from '#shared/log/signed-note.ts';

export interface WitnessAppends {
  /** The name under which this witness signs. False, and nothing happens, where it has one. */
  nameItself(name: string): Promise<boolean>;
  /** Remembers the key of a log. False, and nothing happens, where a key of this origin is there. */
  watch(key: NoteKey): Promise<boolean>;
  /**
   * Puts `note` in the place of the newest checkpoint of this log. False, and nothing happens, where that is no longer
   * `known`: comparing and putting are one step, whoever else is at it.
   */
  advance(origin: string, known: string | null, note: string): Promise<boolean>;
}

/** Unlike in other stores, reads say only what is confirmed: a witness must not forget a note that it has shown. */
export interface WitnessReads {
  /** Null before it has one. */
  readonly name: string | null;
  /** The logs that are watched, by origin. */
  readonly logs: readonly NoteKey[];
  /** The newest checkpoint this witness has cosigned, with both signatures; null before the first. */
  note(origin: string): string | null;
}

/** Port: the memory of a witness. */
export interface WitnessStore extends WitnessAppends, WitnessReads {
  /** Waits for what is under way, and frees the place for another process. */
  close(): Promise<void>;
}
