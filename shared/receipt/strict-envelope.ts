import { fromBase64, toBase64 } from '../bytes.ts';
import { openEnvelope } from '../crypto/dsse.ts';
import { peerIdOf, type VerifySignature } from '../crypto/identity.ts';
import { ChorusError } from '../errors.ts';
import type { Envelope } from '../session/route.ts';

/**
 * The payload of an envelope that is signed by `publicKey` and by nobody else. Stricter than DSSE, which lets key ids be
 * anything and others sign too: here no character of it may be changed. Throws `bad-message` or `bad-signature`.
 */
export async function openStrictly(
  envelope: Envelope,
  payloadType: string,
  publicKey: Uint8Array<ArrayBuffer>,
  verify: VerifySignature,
): Promise<Uint8Array<ArrayBuffer>> {
  const [signature, ...others] = envelope.signatures;
  if (signature === undefined || others.length > 0) throw bad('it has one signature');
  if (signature.keyid !== peerIdOf(publicKey)) throw bad('its key id is that of the key which signed');
  canonicalBase64(signature.sig);
  canonicalBase64(envelope.payload);
  return openEnvelope(envelope, payloadType, publicKey, verify);
}

/** Bytes of base64 that is written in the one way RFC 4648 has for them. Throws `bad-message`. */
export function canonicalBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    const bytes = fromBase64(text);
    if (toBase64(bytes) === text) return bytes;
  } catch {
    // Said below.
  }
  throw bad('base64 is written in one way only');
}

/** JSON of UTF-8 bytes. Throws `bad-message`. */
export function parseJsonBytes(bytes: Uint8Array<ArrayBuffer>): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw bad('its payload is JSON');
  }
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `not an envelope as it should be: ${reason}`);
}
