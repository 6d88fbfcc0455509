import type { z } from 'zod';
import { concatBytes, fromHex, utf8 } from '../../bytes.ts';
import { CLAIM_SEED_BYTES } from '../../credit/claim.ts';
import { MAX_CLAIM_BYTES } from '../../credit/claim-codec.ts';
import { envelopeSchema } from '../../crypto/envelope.ts';
import { MAX_ATTESTATION_BYTES, MAX_POSITIONS } from '../../limits.ts';
import { SALT_BYTES } from '../../receipt/evidence/salted.ts';
import type { PeerMessage } from '../peer-message.ts';
import { badMessage, expectLength, jsonOf, SESSION_BYTES, sessionAt, tooLarge, u32, viewOf } from './codec-bytes.ts';

/*
 * A replica's record of its part in a session, asked for and given; integers little-endian.
 *
 *   16 record     u8 type, session[16], u32 end, u8 number, salt[32], seed[32]
 *   17 recorded   u8 type, session[16], public key[32], signature of the claim[64], u16 length of the claim, the claim, the
 *                 envelope as JSON in UTF-8 to the end
 */

const HEADER_BYTES = 1 + SESSION_BYTES;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const CLAIM_OFFSET = HEADER_BYTES + KEY_BYTES + SIGNATURE_BYTES + 2;
const SALT_OFFSET = HEADER_BYTES + 5;
const SEED_OFFSET = SALT_OFFSET + SALT_BYTES;

export type RecordMessage = Extract<PeerMessage, { type: 'record' | 'recorded' }>;

const attestedSchema = envelopeSchema.extend({ signatures: envelopeSchema.shape.signatures.length(1) });

/** `code` is the type byte. Throws `bad-message` where a field is out of its range, `too-large` for an envelope that is. */
export function encodeRecordMessage(code: number, message: RecordMessage): Uint8Array<ArrayBuffer> {
  const header = concatBytes(Uint8Array.of(code), fromHex(message.session));
  const bytes =
    message.type === 'record'
      ? concatBytes(header, u32(message.end), Uint8Array.of(message.number), message.salt, message.seed)
      : concatBytes(header, message.publicKey, claimPart(message), utf8(JSON.stringify(message.envelope)));
  // The other side would refuse whatever this refuses.
  decodeRecordMessage(message.type, bytes);
  return bytes;
}

/** The message in these bytes, which owns its memory. Throws `bad-message` or `too-large`, nothing else. */
export function decodeRecordMessage(type: RecordMessage['type'], bytes: Uint8Array<ArrayBuffer>): RecordMessage {
  if (type === 'record') {
    expectLength(bytes, SEED_OFFSET + CLAIM_SEED_BYTES);
    const end = viewOf(bytes).getUint32(HEADER_BYTES, true);
    if (end < 1 || end > MAX_POSITIONS) throw badMessage('no record of these positions');
    const number = bytes[SALT_OFFSET - 1]!;
    if (number < 1) throw badMessage('records are numbered from 1 on');
    const [salt, seed] = [bytes.slice(SALT_OFFSET, SEED_OFFSET), bytes.slice(SEED_OFFSET)];
    return { type, session: sessionAt(bytes, 1), end, number, salt, seed };
  }
  if (bytes.length < CLAIM_OFFSET) throw badMessage('a record shorter than its header');
  const claimBytes = viewOf(bytes).getUint16(CLAIM_OFFSET - 2, true);
  const offset = CLAIM_OFFSET + claimBytes;
  if (claimBytes > MAX_CLAIM_BYTES || bytes.length < offset) throw badMessage('a claim of a size that none has');
  if (bytes.length - offset > MAX_ATTESTATION_BYTES) throw tooLarge(bytes.length);
  const signatureOffset = HEADER_BYTES + KEY_BYTES;
  return {
    type,
    session: sessionAt(bytes, 1),
    publicKey: bytes.slice(HEADER_BYTES, signatureOffset),
    envelope: parseEnvelope(bytes.subarray(offset)),
    claim: bytes.slice(CLAIM_OFFSET, offset),
    claimSignature: bytes.slice(signatureOffset, signatureOffset + SIGNATURE_BYTES),
  };
}

function claimPart({ claim, claimSignature }: Extract<RecordMessage, { type: 'recorded' }>): Uint8Array<ArrayBuffer> {
  return concatBytes(claimSignature, Uint8Array.of(claim.length & 255, claim.length >>> 8), claim);
}

function parseEnvelope(bytes: Uint8Array): z.output<typeof attestedSchema> {
  const parsed = attestedSchema.safeParse(jsonOf(bytes));
  if (!parsed.success) throw badMessage('not an envelope with exactly one signature');
  return parsed.data;
}
