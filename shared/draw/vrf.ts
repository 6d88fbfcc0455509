import { ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes } from '../bytes.ts';

/** ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381, suite 3): an output that one key alone can make, the only one for its input, and a proof of it. */
export interface VrfResult {
  /** 80 bytes: a point, a challenge of 16 bytes and a scalar. */
  readonly proof: Uint8Array<ArrayBuffer>;
  /** 64 bytes that look random to everybody without the secret key. */
  readonly output: Uint8Array<ArrayBuffer>;
}

export const VRF_PROOF_BYTES = 80;

type Point = InstanceType<typeof ed25519.Point>;

const SUITE = 0x03;
const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;
const POINT_BYTES = 32;
const CHALLENGE_BYTES = 16;

/** A secret key's numbers, worked out once. `secretKey` is the 32-byte seed of RFC 8032. */
export class VrfKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly #scalar: bigint;
  readonly #nonceSecret: Uint8Array;

  constructor(secretKey: Uint8Array<ArrayBuffer>) {
    const { scalar, prefix, pointBytes } = ed25519.utils.getExtendedPublicKey(secretKey);
    this.publicKey = Uint8Array.from(pointBytes);
    this.#scalar = scalar;
    this.#nonceSecret = prefix;
  }

  /** The output for `input` and its proof (RFC 9381, section 5.1; nonces as of section 5.4.2.2). */
  prove(input: Uint8Array): VrfResult {
    const hashed = hashToCurve(this.publicKey, input);
    const hashedBytes = hashed.toBytes();
    const gamma = hashed.multiply(this.#scalar);
    const nonce = scalarOf(sha512(concatBytes(this.#nonceSecret, hashedBytes)));
    const challenge = challengeOf(
      this.publicKey,
      hashedBytes,
      gamma,
      Point.BASE.multiply(nonce),
      hashed.multiply(nonce),
    );
    const response = (nonce + numberOf(challenge) * this.#scalar) % ORDER;
    const proof = concatBytes(gamma.toBytes(), challenge, bytesOf(response));
    return { proof, output: outputOf(gamma) };
  }
}

/**
 * The output that `proof` shows to be that of `input` under `publicKey` (RFC 9381, section 5.3, with its validation of keys); null if it
 * shows nothing.
 */
export function verifyVrf(publicKey: Uint8Array, input: Uint8Array, proof: Uint8Array): Uint8Array<ArrayBuffer> | null {
  if (proof.length !== VRF_PROOF_BYTES || publicKey.length !== POINT_BYTES) return null;
  const key = pointIn(publicKey);
  const gamma = pointIn(proof.slice(0, POINT_BYTES));
  const challenge = proof.slice(POINT_BYTES, POINT_BYTES + CHALLENGE_BYTES);
  const response = numberOf(proof.slice(POINT_BYTES + CHALLENGE_BYTES));
  // A key of small order would give one output to all inputs.
  if (key === null || gamma === null || response >= ORDER || key.isSmallOrder()) return null;
  const c = numberOf(challenge);
  const hashed = hashToCurve(publicKey, input);
  const u = Point.BASE.multiplyUnsafe(response).subtract(key.multiplyUnsafe(c));
  const v = hashed.multiplyUnsafe(response).subtract(gamma.multiplyUnsafe(c));
  const expected = challengeOf(publicKey, hashed.toBytes(), gamma, u, v);
  return equalBytes(challenge, expected) ? outputOf(gamma) : null;
}

/** Try and increment (section 5.4.1.1). */
function hashToCurve(publicKey: Uint8Array, input: Uint8Array): Point {
  for (let attempt = 0; attempt < 256; attempt++) {
    const hash = sha512(concatBytes(Uint8Array.of(SUITE, 1), publicKey, input, Uint8Array.of(attempt, 0))).slice(
      0,
      POINT_BYTES,
    );
    const point = pointIn(hash)?.clearCofactor();
    if (point !== undefined && !point.is0()) return point;
  }
  throw new RangeError('no point for this input: chances are 2^-256');
}

function challengeOf(publicKey: Uint8Array, hashed: Uint8Array, ...points: readonly Point[]): Uint8Array<ArrayBuffer> {
  const encoded = points.map((point) => point.toBytes());
  return sha512(concatBytes(Uint8Array.of(SUITE, 2), publicKey, hashed, ...encoded, Uint8Array.of(0))).slice(
    0,
    CHALLENGE_BYTES,
  );
}

function outputOf(gamma: Point): Uint8Array<ArrayBuffer> {
  return sha512(concatBytes(Uint8Array.of(SUITE, 3), gamma.clearCofactor().toBytes(), Uint8Array.of(0)));
}

/** Null for bytes that are no point in their one encoding (RFC 8032, section 5.1.3). */
function pointIn(bytes: Uint8Array): Point | null {
  try {
    return Point.fromBytes(Uint8Array.from(bytes), false);
  } catch {
    return null;
  }
}

function scalarOf(hash: Uint8Array): bigint {
  return numberOf(hash) % ORDER;
}

/** Little-endian. */
function numberOf(bytes: Uint8Array): bigint {
  let number = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) number = (number << 8n) | BigInt(bytes[i]!);
  return number;
}

function bytesOf(number: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(POINT_BYTES);
  for (let i = 0, rest = number; i < POINT_BYTES; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}
