import type { RandomBytes } from '../clock.ts';
import { ChorusError } from '../errors.ts';
import { peerIdOf, type Identity, type VerifySignature } from './identity.ts';

const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

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

/** Ed25519 verification (RFC 8032) by WebCrypto; false for keys and signatures that are malformed. */
export const verifySignature: VerifySignature = async (publicKey, message, signature) => {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  try {
    const key = await crypto.subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', key, signature, message);
  } catch {
    // Platforms differ in whether bytes that are no point of the curve fail at import or at verification.
    return false;
  }
};
