import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { isSignedBy, parseNote, type NoteKey } from './signed-note.ts';
import type { FetchBytes } from './verified-tiles.ts';

const MAX_CHECKPOINT_BYTES = 64 * 1024;

/** A checkpoint that its log has signed. */
export interface LogHead extends Checkpoint {
  /** The signed note, as the log showed it. */
  readonly note: string;
}

/** Reads a head of the log with this key. Throws `bad-message` or `too-large`, `wrong-peer` for another origin, `bad-signature`. */
export async function parseLogHead(text: string, key: NoteKey, verify: VerifySignature): Promise<LogHead> {
  const note = parseNote(text);
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.origin !== key.name) {
    throw new ChorusError('wrong-peer', `this is the log ${checkpoint.origin}, not ${key.name}`);
  }
  if (!(await isSignedBy(note, key, verify))) {
    throw new ChorusError('bad-signature', 'the checkpoint is not signed by the key of this log');
  }
  return { ...checkpoint, note: text };
}

/** The newest head that the log shows. Throws as `parseLogHead`, and what fetching throws. */
export async function fetchLogHead(
  key: NoteKey,
  fetchBytes: FetchBytes,
  verify: VerifySignature,
  signal: AbortSignal,
): Promise<LogHead> {
  return parseLogHead(decode(await fetchBytes('checkpoint', MAX_CHECKPOINT_BYTES, signal)), key, verify);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ChorusError('bad-message', 'the checkpoint is not text in UTF-8');
  }
}
