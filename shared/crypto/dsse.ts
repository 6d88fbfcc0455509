import { concatBytes, fromBase64, toBase64, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import type { Envelope } from './envelope.ts';
import type { Identity, VerifySignature } from './identity.ts';

/** The bytes that a signature covers: PAE of the payload (DSSE 1.0.2, protocol.md, "Signature Definition"). */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const type = utf8(payloadType);
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload);
}

export async function signEnvelope(identity: Identity, payloadType: string, payload: Uint8Array): Promise<Envelope> {
  const signature = await identity.sign(preAuthEncoding(payloadType, payload));
  return sealEnvelope(identity.id, payloadType, payload, signature);
}

/** An envelope around a signature over `preAuthEncoding` that was made elsewhere. */
export function sealEnvelope(keyid: PeerId, payloadType: string, payload: Uint8Array, signature: Uint8Array): Envelope {
  return { payloadType, payload: toBase64(payload), signatures: [{ keyid, sig: toBase64(signature) }] };
}

/**
 * The payload, if one of the signatures over it is by `publicKey`. Key ids are hints that anyone can write, so they are
 * not looked at. Throws `bad-message` for another payload type or text that is not base64, else `bad-signature`.
 */
export async function openEnvelope(
  envelope: Envelope,
  payloadType: string,
  publicKey: Uint8Array<ArrayBuffer>,
  verify: VerifySignature,
): Promise<Uint8Array<ArrayBuffer>> {
  if (envelope.payloadType !== payloadType) {
    throw new ChorusError('bad-message', `an envelope of ${envelope.payloadType} where ${payloadType} belongs`);
  }
  const payload = parseBase64(envelope.payload);
  const signed = preAuthEncoding(payloadType, payload);
  for (const { sig } of envelope.signatures) {
    if (await verify(publicKey, signed, parseBase64(sig))) return payload;
  }
  throw new ChorusError('bad-signature', `no signature of this key on the ${payloadType}`);
}

function parseBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(text);
  } catch {
    throw new ChorusError('bad-message', 'not base64');
  }
}
