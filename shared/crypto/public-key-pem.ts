import { equalBytes, fromBase64, fromHex, toBase64, utf8, concatBytes } from '../bytes.ts';
import type { Digest } from '../ids.ts';
import { digestOf } from './identity.ts';

/** DER SubjectPublicKeyInfo of Ed25519 is this and the raw key (RFC 8410 section 4). */
const SPKI_PREFIX = fromHex('302a300506032b6570032100');
const PEM = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]{1,8192})\n-----END PUBLIC KEY-----\n?$/;

/** A raw Ed25519 public key, 32 bytes, as other tools read it (RFC 7468 section 13), with a line feed at its end. */
export function publicKeyPem(publicKey: Uint8Array): string {
  const der = toBase64(concatBytes(SPKI_PREFIX, publicKey));
  return `-----BEGIN PUBLIC KEY-----\n${der}\n-----END PUBLIC KEY-----\n`;
}

/** The raw Ed25519 key in a PEM text; null for a key of another kind and for what is no key. */
export function rawPublicKey(pem: string): Uint8Array<ArrayBuffer> | null {
  const body = PEM.exec(pem)?.[1];
  if (body === undefined) return null;
  let der: Uint8Array<ArrayBuffer>;
  try {
    der = fromBase64(body.replaceAll('\n', ''));
  } catch {
    return null;
  }
  const isEd25519 = der.length === SPKI_PREFIX.length + 32 && equalBytes(der.slice(0, SPKI_PREFIX.length), SPKI_PREFIX);
  return isEd25519 ? der.slice(SPKI_PREFIX.length) : null;
}

/** SHA-256 of the PEM text: how a model's signature hints at the key that made it. */
export function publicKeyHint(pem: string): Digest {
  return digestOf(utf8(pem));
}
