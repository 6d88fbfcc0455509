import type { RandomBytes } from '../clock.ts';
import { ChorusError } from '../errors.ts';
import { peerIdOf, type Identity, type VerifySignature } from './identity.ts';
import { createVerifier } from './verifier.ts';

export const randomBytes: RandomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** WebCrypto's CryptoKey, by whatever name the platform's types have it. */
type Key = Parameters<typeof crypto.subtle.sign>[1];
export interface KeyPair {
  readonly privateKey: Key;
  readonly publicKey: Key;
}

/** A new Ed25519 pair whose private key cannot be read, only used. Rejects where the platform has no Ed25519. */
export async function generateKeyPair(): Promise<KeyPair> {
  const made = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
  if ('privateKey' in made) return made;
  throw new ChorusError('unsupported', 'this platform makes no Ed25519 key pairs');
}

/** The identity that a WebCrypto key pair stands for. */
export async function identityOf(pair: KeyPair): Promise<Identity> {
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  return {
    id: peerIdOf(publicKey),
    publicKey,
    sign: async (message) => new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, message)),
  };
}

/** Ed25519 verification (RFC 8032), by WebCrypto where it has Ed25519; false for keys and signatures that are malformed. */
export const verifySignature: VerifySignature = createVerifier(() => crypto.subtle);
