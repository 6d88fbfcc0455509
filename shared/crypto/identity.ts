import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '../bytes.ts';
import type { Digest, PeerId } from '../ids.ts';

/** A key pair as the rest of the program sees it: the private key stays where it was made. */
export interface Identity {
  readonly id: PeerId;
  /** Raw Ed25519 public key, 32 bytes (RFC 8032). */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Ed25519 signature, 64 bytes. */
  sign(message: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
}

/** Checks an Ed25519 signature; false on any malformed key or signature. Injected so that `shared` needs no platform. */
export type VerifySignature = (
  publicKey: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
) => Promise<boolean>;

/** SHA-256 of `bytes` as lower-case hexadecimal. */
export function digestOf(bytes: Uint8Array): Digest {
  return toHex(sha256(bytes)) as Digest;
}

/** The id that belongs to a raw Ed25519 public key. */
export function peerIdOf(publicKey: Uint8Array): PeerId {
  return toHex(sha256(publicKey)) as PeerId;
}
