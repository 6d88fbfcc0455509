import { ed25519 } from '@noble/curves/ed25519.js';
import { fromHex } from '../bytes.ts';
import type { VerifySignature } from './identity.ts';

const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** The part of WebCrypto that verification needs. */
export type VerifyingSubtle = Pick<typeof crypto.subtle, 'importKey' | 'verify'>;

/** RFC 8032 section 7.1, test 3. */
const KNOWN_KEY = fromHex('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
const KNOWN_MESSAGE = fromHex('af82');
const KNOWN_SIGNATURE = fromHex(
  '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
    '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
);

/**
 * Ed25519 verification (RFC 8032) on any platform. WebCrypto verifies where its first use shows that it gives known
 * answers; pages over plain http have none, and older browsers have one without Ed25519. There, and for each input that
 * WebCrypto throws on, noble-curves verifies: an exception says nothing of a signature. False for keys and signatures
 * that are malformed.
 */
export function createVerifier(subtleOf: () => VerifyingSubtle | undefined): VerifySignature {
  let checked: Promise<VerifySignature | null> | null = null;
  return async (publicKey, message, signature) => {
    if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    checked ??= checkedPlatform(subtleOf());
    const byPlatform = await checked;
    try {
      if (byPlatform !== null) return await byPlatform(publicKey, message, signature);
    } catch {
      // Platforms differ in whether bytes that are no point of the curve fail at import or at verification.
    }
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  };
}

/** Verification by this WebCrypto; null unless it knows a good signature from a bad one. */
async function checkedPlatform(subtle: VerifyingSubtle | undefined): Promise<VerifySignature | null> {
  if (subtle === undefined) return null;
  const verify: VerifySignature = async (publicKey, message, signature) => {
    const key = await subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify']);
    return subtle.verify('Ed25519', key, signature, message);
  };
  const otherMessage = KNOWN_MESSAGE.map((byte) => byte ^ 1);
  try {
    const isRight =
      (await verify(KNOWN_KEY, KNOWN_MESSAGE, KNOWN_SIGNATURE)) &&
      !(await verify(KNOWN_KEY, otherMessage, KNOWN_SIGNATURE));
    return isRight ? verify : null;
  } catch {
    return null;
  }
}
