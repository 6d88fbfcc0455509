import type { Digest, PeerId, SessionId } from '../ids.ts';
import type { StageRange } from '../model/stage.ts';

/** Positions of one claim that are sketched, at most. */
export const MAX_CLAIM_ROWS = 32;
/** A claim begins with it; nothing else that a key of this project signs does. */
export const CLAIM_DOMAIN = 'chorus-credit/1\n';
export const CLAIM_SEED_BYTES = 32;

/**
 * What one replica claims credit for at the end of an answer, signed and meant for the server: its part in the session, and
 * as much of what it computed as shows whether another of its stage computed the same. It is held apart from the attestation
 * (receipt/evidence/attestation.ts), which is for readers of receipts. Chains are salted as there, with the same salt, and the
 * seed of the sketches never reaches the server, so that no token can be told from a claim.
 */
export interface Claim {
  readonly session: SessionId;
  readonly stage: number;
  readonly range: StageRange;
  readonly role: 'primary' | 'shadow' | 'replay';
  /** Digest of the manifest. */
  readonly model: Digest;
  /** SHA-256 of the name of the numeric class. */
  readonly numericClass: Digest;
  /** Positions [from, positions) are sketched: those that no claim of this replica covered before. */
  readonly from: number;
  /** The chains cover the positions [0, positions). */
  readonly positions: number;
  /** SHA-256(salt || chain) of the input rows, of the output rows and of the runs before `positions`, in hexadecimal. */
  readonly input: string;
  readonly output: string;
  readonly runs: string;
  /** SHA-256 of the seed of the sketches, in hexadecimal. */
  readonly seed: string;
  /** f32 little-endian [n, SKETCH_SIZE] of n <= MAX_CLAIM_ROWS positions (claim-sketch.ts). */
  readonly sketch: Uint8Array<ArrayBuffer>;
}

/** A claim as a requester hands it on: the bytes of `encodeClaim` and the replica's signature on them. */
export interface SignedClaim {
  readonly replica: PeerId;
  /** Raw Ed25519 key, 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly claim: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}
