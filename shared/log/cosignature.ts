import { concatBytes, utf8 } from '../bytes.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import { COSIGNATURE, keyIdOf, signaturesBy, type Note, type NoteKey, type NoteSignature } from './signed-note.ts';

/** The bytes that a witness signs with cosignature/v1 (C2SP tlog-cosignature): when it saw which checkpoint. */
export function cosignedBytes(checkpointText: string, timeSeconds: number): Uint8Array<ArrayBuffer> {
  return utf8(`cosignature/v1\ntime ${timeSeconds}\n${checkpointText}`);
}

/** The note signature of a witness: u64 big-endian POSIX seconds, then the Ed25519 signature over `cosignedBytes`. */
export function cosignature(key: NoteKey, timeSeconds: number, signature: Uint8Array<ArrayBuffer>): NoteSignature {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(timeSeconds));
  return { name: key.name, keyId: keyIdOf(key), signature: concatBytes(time, signature) };
}

/**
 * When the witness of `key` says it saw this checkpoint (POSIX seconds); null if it has not cosigned. Throws
 * `bad-signature` for a cosignature of this key that is wrong.
 */
export async function cosignedAt(note: Note, key: NoteKey, verify: VerifySignature): Promise<number | null> {
  if (key.type !== COSIGNATURE) throw new ChorusError('bad-message', `${key.name} is not the key of a witness`);
  let latest: number | null = null;
  for (const { signature } of signaturesBy(note, key)) {
    const timeSeconds = timeOf(signature);
    const isGood =
      timeSeconds !== null && (await verify(key.publicKey, cosignedBytes(note.text, timeSeconds), signature.slice(8)));
    if (!isGood) throw new ChorusError('bad-signature', `the cosignature of ${key.name} is not over this checkpoint`);
    latest = Math.max(latest ?? 0, timeSeconds);
  }
  return latest;
}

function timeOf(signature: Uint8Array<ArrayBuffer>): number | null {
  if (signature.length !== 8 + 64) return null;
  const time = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
  return time <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(time) : null;
}
