import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { MAX_CHECKS } from '../limits.ts';

export const SEED_BYTES = 32;

/** Seeds that a requester is bound to before it has seen anything, one for each span. */
export interface SeedChain {
  /** Given away first: seed 0, which every other seed hashes down to. */
  readonly anchor: Uint8Array<ArrayBuffer>;
  /** The seed of span `index`, 1 to `length`. Throws `too-long` above. */
  seed(index: number): Uint8Array<ArrayBuffer>;
}

/** The last seed is `secret`, 32 random bytes, and each one before it the SHA-256 of the one after it. */
export function createSeedChain(secret: Uint8Array, length = MAX_CHECKS): SeedChain {
  if (secret.length !== SEED_BYTES)
    throw new RangeError(`a seed of ${secret.length} bytes; it must have ${SEED_BYTES}`);
  const seeds = [Uint8Array.from(secret)];
  for (let i = 0; i < length; i++) seeds.push(sha256(seeds[i]!));
  return {
    anchor: seeds[length]!.slice(),
    seed(index) {
      const seed = index < 1 ? undefined : seeds[length - index];
      if (seed === undefined) throw new ChorusError('too-long', `the session has no seed for a chunk ${index}`);
      return seed.slice();
    },
  };
}

/** A seed, or the anchor as seed 0, that is known to be right. */
export interface SeedClaim {
  readonly known: Uint8Array;
  readonly knownIndex: number;
  readonly seed: Uint8Array;
  readonly index: number;
}

/** True if `seed` is the seed number `index` of the chain in which `known` has number `knownIndex`. */
export function isSeed({ known, knownIndex, seed, index }: SeedClaim): boolean {
  const steps = index - knownIndex;
  if (seed.length !== SEED_BYTES || !Number.isInteger(steps) || steps < 0 || steps > MAX_CHECKS) return false;
  let hashed = seed;
  for (let i = 0; i < steps; i++) hashed = sha256(hashed);
  return equalBytes(hashed, known);
}
