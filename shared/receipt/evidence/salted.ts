import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, toHex } from '../../bytes.ts';
import { CHAIN_START, foldRows } from '../../rows/row-chain.ts';
import { encodeTokens } from '../../rows/rows.ts';

/** One salt for each answer; it stays with the requester. */
export const SALT_BYTES = 32;

/** SHA-256(salt || bytes) in hexadecimal. Without the salt it tells nothing of the bytes, however few they could be. */
export function salted(salt: Uint8Array, bytes: Uint8Array): string {
  if (salt.length !== SALT_BYTES) throw new RangeError(`a salt of ${salt.length} bytes; it must have ${SALT_BYTES}`);
  return toHex(sha256(concatBytes(salt, bytes)));
}

/** The salted chain over tokens, each a row of u32 little-endian: what stage 0 took in. */
export function saltedTokens(salt: Uint8Array, tokens: readonly number[]): string {
  const rows = tokens.map((token) => encodeTokens([token]));
  return salted(salt, foldRows(CHAIN_START, rows));
}
