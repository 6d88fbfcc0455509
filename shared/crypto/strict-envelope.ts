import { fromStrictBase64 } from '../bytes.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import { preAuthEncoding } from './dsse.ts';
import type { Envelope } from './envelope.ts';
import { peerIdOf, type VerifySignature } from './identity.ts';
import { parseStrictJson } from './strict-json.ts';

/** The contents of an envelope whose signature nobody has looked at yet. */
export interface StrictParts {
  readonly payload: Uint8Array<ArrayBuffer>;
  /** The bytes that are signed. */
  readonly signed: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/**
 * The parts of an envelope that says it is signed by `publicKey` and by nobody else. Stricter than DSSE, which lets key ids
 * be anything and others sign too: here no character of it may be changed. Throws `bad-message`.
 */
export function strictParts(envelope: Envelope, payloadType: string, publicKey: Uint8Array): StrictParts {
  const [signature, ...others] = envelope.signatures;
  if (envelope.payloadType !== payloadType) {
    throw bad(`its type is ${envelope.payloadType.slice(0, 80)}; it must be ${payloadType}`);
  }
  if (signature === undefined || others.length > 0) {
    throw bad(`it has ${envelope.signatures.length} signatures; exactly one is allowed`);
  }
  if (signature.keyid !== peerIdOf(publicKey)) throw bad('its key id is not that of the key it must be signed with');
  const payload = canonicalBase64(envelope.payload);
  return { payload, signed: preAuthEncoding(payloadType, payload), signature: canonicalBase64(signature.sig) };
}

/** The payload of an envelope as `strictParts` takes it. Throws `bad-message` or `bad-signature`. */
export async function openStrictly(
  envelope: Envelope,
  payloadType: string,
  publicKey: Uint8Array<ArrayBuffer>,
  verify: VerifySignature,
): Promise<Uint8Array<ArrayBuffer>> {
  const { payload, signed, signature } = strictParts(envelope, payloadType, publicKey);
  if (await verify(publicKey, signed, signature)) return payload;
  throw new ChorusError('bad-signature', `no signature of this key on the ${payloadType}`);
}

/** Bytes of base64 that is written in the one way RFC 4648 has for them. Throws `bad-message`. */
export function canonicalBase64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = fromStrictBase64(text);
  if (bytes === null) throw bad('not base64 in the one way that is allowed');
  return bytes;
}

/** The JSON of a payload, of which every reader makes the same (`parseStrictJson`). Throws `bad-message`. */
export function parseJsonBytes(bytes: Uint8Array<ArrayBuffer>): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (thrown) {
    throw bad(`its payload is not JSON in UTF-8: ${toChorusError(thrown).message}`);
  }
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `not an envelope as it should be: ${reason}`);
}
