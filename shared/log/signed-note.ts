import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes, fromStrictBase64, toBase64, toHex, utf8 } from '../bytes.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';

/** C2SP signed-note: a text, a blank line, and signature lines. */
export interface Note {
  /** Ends with a line feed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface NoteSignature {
  readonly name: string;
  /** First 4 bytes of SHA-256(name, LF, type, key). */
  readonly keyId: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Signature types of the spec's registry that are read here. */
export const ED25519 = 0x01;
export const COSIGNATURE = 0x04;

/** A key as a verifier line (`name+id+base64`) gives it. */
export interface NoteKey {
  readonly name: string;
  readonly type: number;
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

const MAX_NOTE_CHARACTERS = 64 * 1024;
const MAX_SIGNATURES = 64;
const SIGNATURE_LINE = /^\u2014 ([^\s+\p{Cc}]+) ([A-Za-z0-9+/]+={0,2})$/u;

export function keyIdOf({ name, type, publicKey }: NoteKey): Uint8Array<ArrayBuffer> {
  return sha256(concatBytes(utf8(`${name}\n`), Uint8Array.of(type), publicKey)).slice(0, 4);
}

/** `name+hex8+base64`, the way keys are handed round. */
export function formatVerifierKey(key: NoteKey): string {
  return `${key.name}+${toHex(keyIdOf(key))}+${toBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))}`;
}

/** Throws `bad-message` for another form, a type that is neither Ed25519 nor a cosignature, or an id of another key. */
export function parseVerifierKey(line: string): NoteKey {
  const match = /^([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44,48}={0,2})$/u.exec(line);
  if (match === null) throw bad('not a verifier key, which looks like name+id+base64');
  const bytes = base64(match[3]!);
  const key = { name: match[1]!, type: bytes[0]!, publicKey: bytes.slice(1) };
  if (key.type !== ED25519 && key.type !== COSIGNATURE) throw bad(`keys of type ${key.type} are not known`);
  if (key.publicKey.length !== 32) throw bad(`a key of ${key.publicKey.length} bytes; an Ed25519 key has 32`);
  if (toHex(keyIdOf(key)) !== match[2]) throw bad('the id of the verifier key is that of another key');
  return key;
}

export function formatNote({ text, signatures }: Note): string {
  return `${text}\n${signatures.map(formatSignature).join('')}`;
}

/** One signature line with its line feed. */
export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  return `\u2014 ${name} ${toBase64(concatBytes(keyId, signature))}\n`;
}

/** Reads a note (decoded from UTF-8). Throws `too-large`, or `bad-message` for anything the spec does not allow. */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE_CHARACTERS) throw new ChorusError('too-large', 'the signed note is longer than 64 KiB');

  if (/[\u0000-\u0009\u000b-\u001f]|\p{Surrogate}/u.test(note)) throw bad('the signed note holds a control character');
  const split = note.lastIndexOf('\n\n');
  if (split < 1 || !note.endsWith('\n')) throw bad('not a signed note: a text, an empty line and signature lines');
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw bad(`${lines.length} signatures; at most ${MAX_SIGNATURES} are read`);
  return { text: note.slice(0, split + 1), signatures: lines.map(parseSignature) };
}

/** Throws `bad-message`. */
export function parseSignature(line: string): NoteSignature {
  const match = SIGNATURE_LINE.exec(line);
  if (match === null) throw bad('not a signature line: a dash, a name and base64');
  const bytes = base64(match[2]!);
  if (bytes.length < 5) throw bad('a key id without a signature');
  return { name: match[1]!, keyId: bytes.slice(0, 4), signature: bytes.slice(4) };
}

/** The signatures that claim to be by this key. */
export function signaturesBy(note: Note, key: NoteKey): NoteSignature[] {
  const keyId = keyIdOf(key);
  return note.signatures.filter((each) => each.name === key.name && equalBytes(each.keyId, keyId));
}

/**
 * True if `key` (Ed25519) signed the note's text. Signatures by other keys say nothing; one of this key that is wrong
 * makes the note invalid, as the spec asks: throws `bad-signature`.
 */
export async function isSignedBy(note: Note, key: NoteKey, verify: VerifySignature): Promise<boolean> {
  const signatures = signaturesBy(note, key);
  for (const { signature } of signatures) {
    if (!(await verify(key.publicKey, utf8(note.text), signature))) {
      throw new ChorusError('bad-signature', `the signature of ${key.name} is not over this text`);
    }
  }
  return signatures.length > 0;
}

function base64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = fromStrictBase64(text);
  if (bytes === null) throw bad('not base64');
  return bytes;
}

function bad(message: string): ChorusError {
  return new ChorusError('bad-message', message);
}
