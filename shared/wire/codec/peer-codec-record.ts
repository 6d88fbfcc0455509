import type { z } from 'zod';
import { concatBytes, fromHex, utf8 } from '../../bytes.ts';
import { envelopeSchema } from '../../crypto/envelope.ts';
import { MAX_ATTESTATION_BYTES, MAX_POSITIONS } from '../../limits.ts';
import { SALT_BYTES } from '../../receipt/evidence/salted.ts';
import type { PeerMessage } from '../peer-message.ts';
import { badMessage, expectLength, jsonOf, SESSION_BYTES, sessionAt, tooLarge, u32, viewOf } from './codec-bytes.ts';

/*
 * A replica's record of its part in a session, asked for and given; integers little-endian.
 *
 *   16 record     u8 type, session[16], u32 end, salt[32]
 *   17 recorded   u8 type, session[16], public key[32], the envelope as JSON in UTF-8 to the end
 */

const HEADER_BYTES = 1 + SESSION_BYTES;
const KEY_BYTES = 32;

export type RecordMessage = Extract<PeerMessage, { type: 'record' | 'recorded' }>;

const attestedSchema = envelopeSchema.extend({ signatures: envelopeSchema.shape.signatures.length(1) });

/** `code` is the type byte. Throws `bad-message` where a field is out of its range, `too-large` for an envelope that is. */
export function encodeRecordMessage(code: number, message: RecordMessage): Uint8Array<ArrayBuffer> {
  const header = concatBytes(Uint8Array.of(code), fromHex(message.session));
  const bytes =
    message.type === 'record'
      ? concatBytes(header, u32(message.end), message.salt)
      : concatBytes(header, message.publicKey, utf8(JSON.stringify(message.envelope)));
  // The other side would refuse whatever this refuses.
  decodeRecordMessage(message.type, bytes);
  return bytes;
}

/** The message in these bytes, which owns its memory. Throws `bad-message` or `too-large`, nothing else. */
export function decodeRecordMessage(type: RecordMessage['type'], bytes: Uint8Array<ArrayBuffer>): RecordMessage {
  if (type === 'record') {
    expectLength(bytes, HEADER_BYTES + 4 + SALT_BYTES);
    const end = viewOf(bytes).getUint32(HEADER_BYTES, true);
    if (end < 1 || end > MAX_POSITIONS) throw badMessage('no record of these positions');
    return { type, session: sessionAt(bytes, 1), end, salt: bytes.slice(HEADER_BYTES + 4) };
  }
  const offset = HEADER_BYTES + KEY_BYTES;
  if (bytes.length < offset) throw badMessage('a record shorter than its header');
  if (bytes.length - offset > MAX_ATTESTATION_BYTES) throw tooLarge(bytes.length);
  const publicKey = bytes.slice(HEADER_BYTES, offset);
  return { type, session: sessionAt(bytes, 1), publicKey, envelope: parseEnvelope(bytes.subarray(offset)) };
}

function parseEnvelope(bytes: Uint8Array): z.output<typeof attestedSchema> {
  const parsed = attestedSchema.safeParse(jsonOf(bytes));
  if (!parsed.success) throw badMessage('not an envelope with exactly one signature');
  return parsed.data;
}
