import { concatBytes, toBase64 } from '../bytes.ts';
import { canonicalBase64 } from '../crypto/strict-envelope.ts';
import { ChorusError } from '../errors.ts';
import type { Hash } from '../log/merkle.ts';

const HASH_BYTES = 32;

/** Hashes one after the other, in base64. */
export function joined(hashes: readonly Hash[]): string {
  return toBase64(concatBytes(...hashes));
}

/** The hashes of such a text. Throws `bad-message` or `check-failed`. */
export function hashesIn(path: string): Hash[] {
  const bytes = canonicalBase64(path);
  if (bytes.length % HASH_BYTES !== 0) throw new ChorusError('check-failed', 'a path is not made of whole hashes');
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => bytes.slice(HASH_BYTES * i, HASH_BYTES * (i + 1)));
}
