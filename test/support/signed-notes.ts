import { utf8 } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { checkpointText, type Checkpoint } from '#shared/log/checkpoint.ts';
import { cosignature, cosignedBytes } from '#shared/log/cosignature.ts';
import { leafHash, nodeHash, type Hash, type ReadHash } from '#shared/log/merkle.ts';
import {
  COSIGNATURE,
  ED25519,
  formatNote,
  keyIdOf,
  type NoteKey,
  type NoteSignature,
} from '#shared/log/signed-note.ts';

export const logKeyOf = (identity: Identity, name: string): NoteKey => ({
  name,
  type: ED25519,
  publicKey: identity.publicKey,
});

export const witnessKeyOf = (identity: Identity, name: string): NoteKey => ({
  name,
  type: COSIGNATURE,
  publicKey: identity.publicKey,
});

export async function signatureOf(identity: Identity, name: string, text: string): Promise<NoteSignature> {
  return { name, keyId: keyIdOf(logKeyOf(identity, name)), signature: await identity.sign(utf8(text)) };
}

export async function cosignatureOf(
  identity: Identity,
  name: string,
  text: string,
  timeSeconds: number,
): Promise<NoteSignature> {
  const signature = await identity.sign(cosignedBytes(text, timeSeconds));
  return cosignature(witnessKeyOf(identity, name), timeSeconds, signature);
}

/** A log's checkpoint as it serves it. */
export async function checkpointNote(identity: Identity, checkpoint: Checkpoint): Promise<string> {
  const text = checkpointText(checkpoint);
  return formatNote({ text, signatures: [await signatureOf(identity, checkpoint.origin, text)] });
}

/** The tree over some entries, made the plain way. */
export function treeOf(entries: readonly Uint8Array[]): ReadHash {
  const levels: Hash[][] = [entries.map((entry) => leafHash(entry))];
  for (let below = levels[0]!; below.length > 1; below = levels.at(-1)!) {
    levels.push(
      Array.from({ length: Math.floor(below.length / 2) }, (_, i) => nodeHash(below[2 * i]!, below[2 * i + 1]!)),
    );
  }
  return (level, index) => levels[level]![index]!;
}
