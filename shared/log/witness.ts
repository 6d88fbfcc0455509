import { equalBytes, fromStrictBase64, toBase64 } from '../bytes.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { EMPTY_ROOT, isConsistent, MAX_PROOF_HASHES, type Hash } from './merkle.ts';
import { isSignedBy, parseNote, type Note, type NoteKey } from './signed-note.ts';

/** The request of a log to a witness (C2SP tlog-witness, `add-checkpoint`). */
export interface AddCheckpoint {
  /** The size that the log believes the witness has cosigned last. */
  readonly oldSize: number;
  /** Hashes of the consistency proof from there to the checkpoint. */
  readonly proof: readonly Hash[];
  readonly note: Note;
  readonly checkpoint: Checkpoint;
}

/** The newest checkpoint a witness has cosigned. */
export type WitnessedHead = Pick<Checkpoint, 'size' | 'root'>;

export interface WitnessRefusal {
  /** The status of the HTTP answer. */
  readonly status: 400 | 403 | 404 | 409 | 422;
  /** For people. */
  readonly reason: string;
  /** With 409 for another old size: the size the witness has cosigned last. */
  readonly size?: number;
}

/** A head that every log extends. */
export const EMPTY_HEAD: WitnessedHead = { size: 0, root: EMPTY_ROOT };

/** `note` is the signed checkpoint. */
export function formatAddCheckpoint(oldSize: number, proof: readonly Hash[], note: string): string {
  return `old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join('')}\n${note}`;
}

/** Reads the body of a request (decoded from UTF-8). Throws `bad-message` or `too-large`. */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  const split = body.indexOf('\n\n');
  const [first = '', ...hashes] = body.slice(0, Math.max(0, split)).split('\n');
  const oldSize = Number(/^old (0|[1-9]\d{0,15})$/.exec(first)?.[1]);
  if (!Number.isSafeInteger(oldSize)) throw bad('it does not begin with the old size');
  if (hashes.length > MAX_PROOF_HASHES)
    throw bad(`${hashes.length} hashes; a consistency proof has at most ${MAX_PROOF_HASHES}`);
  const note = parseNote(body.slice(split + 2));
  return { oldSize, proof: hashes.map(parseHash), note, checkpoint: parseCheckpoint(note.text) };
}

/**
 * The refusal of a request whose log this witness does not watch, or which the log has not signed; null if both hold.
 * Needs nothing that the witness remembers.
 */
export async function refusalOfSender(
  { note, checkpoint, oldSize }: AddCheckpoint,
  keysOf: (origin: string) => readonly NoteKey[],
  verify: VerifySignature,
): Promise<WitnessRefusal | null> {
  const keys = keysOf(checkpoint.origin);
  if (keys.length === 0) return { status: 404, reason: 'this witness does not watch this log' };
  try {
    const signed = await Promise.all(keys.map((key) => isSignedBy(note, key, verify)));
    if (!signed.includes(true)) return { status: 403, reason: 'the log has not signed this checkpoint' };
  } catch (thrown) {
    return { status: 403, reason: toChorusError(thrown).message };
  }
  if (oldSize > checkpoint.size) return { status: 400, reason: 'the old size is larger than the new one' };
  return null;
}

/**
 * The refusal of a checkpoint that does not extend the one this witness cosigned last (EMPTY_HEAD before the first); null
 * if it may be the next. This check and storing the new head must be one step.
 */
export function refusalOfGrowth(
  known: WitnessedHead,
  { oldSize, proof, checkpoint }: AddCheckpoint,
): WitnessRefusal | null {
  if (oldSize !== known.size) {
    return { status: 409, reason: `this witness has cosigned ${known.size} entries`, size: known.size };
  }
  if (checkpoint.size === 0 && !equalBytes(checkpoint.root, EMPTY_ROOT)) {
    return { status: 422, reason: 'the log is empty, but its root is not that of the empty tree' };
  }
  if (oldSize === checkpoint.size && proof.length === 0 && !equalBytes(checkpoint.root, known.root)) {
    return { status: 422, reason: 'this log has another root at the size that this witness has cosigned' };
  }
  if (!isConsistent([known.size, known.root], [checkpoint.size, checkpoint.root], proof)) {
    return { status: 422, reason: 'this log does not begin with what this witness has cosigned' };
  }
  return null;
}

function parseHash(line: string): Hash {
  const hash = fromStrictBase64(line);
  if (hash?.length !== 32) throw bad('a hash that is not 32 bytes in base64');
  return hash;
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad request to a witness: ${reason}`);
}
