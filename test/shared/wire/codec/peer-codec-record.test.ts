import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { MAX_CLAIM_BYTES } from '#shared/credit/claim-codec.ts';
import { preAuthEncoding, sealEnvelope } from '#shared/crypto/dsse.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, MAX_ATTESTATION_BYTES, MAX_POSITIONS, MAX_RECORDS, MAX_STAGES } from '#shared/limits.ts';
import { attestationStatement } from '#shared/receipt/evidence/attest.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { codeOf } from '../../../support/code-of.ts';
import { toyDigest } from '../../../support/toy-model.ts';

const session = '00112233445566778899aabbccddeeff' as SessionId;
const bytes = (length: number, first = 0) => new Uint8Array(length).map((_, i) => first + i);
const envelope = {
  payloadType: 'application/vnd.in-toto+json',
  payload: 'e30=',
  signatures: [{ keyid: 'a'.repeat(64), sig: 'AAAA' }],
};
const record = { type: 'record', session, end: 44, number: 7, salt: bytes(32, 1), seed: bytes(32, 9) } as const;
const signatures = { claim: bytes(300, 3), claimSignature: bytes(64, 4) };
const recorded = { type: 'recorded', session, publicKey: bytes(32, 2), envelope, ...signatures } as const;
/** Bytes before the envelope. */
const HEADER = 1 + 16 + 32 + 64 + 2 + 300;

/** A `recorded` whose envelope is whatever JSON, or none. */
const holding = (json: string) => concatBytes(encodePeerMessage(recorded).subarray(0, HEADER), utf8(json));

describe('the codec of records', () => {
  it.each<PeerMessage>([record, recorded, { ...recorded, claim: bytes(MAX_CLAIM_BYTES) }])(
    'gives $type back as it was',
    (message) => {
      expect(decodePeerMessage(encodePeerMessage(message))).toEqual(message);
    },
  );

  it('lays messages out as docs/protocol.md says', () => {
    const encoded = encodePeerMessage(record);
    expect([encoded[0], encoded.length]).toEqual([16, 86]);
    expect([...encoded.subarray(17, 21)]).toEqual([44, 0, 0, 0]);
    expect(encoded[21]).toBe(7);
    expect(encoded.subarray(22)).toEqual(concatBytes(bytes(32, 1), bytes(32, 9)));
    const { claim, claimSignature } = signatures;
    expect(encodePeerMessage(recorded).subarray(0, HEADER)).toEqual(
      concatBytes(
        ...[Uint8Array.of(17), encoded.subarray(1, 17), bytes(32, 2)],
        ...[claimSignature, Uint8Array.of(300 & 255, 1), claim],
      ),
    );
    expect(JSON.parse(new TextDecoder().decode(encodePeerMessage(recorded).subarray(HEADER)))).toEqual(envelope);
  });

  it('has room for the record of the longest session', () => {
    const chain = () => new Uint8Array(32);
    const payload = attestationStatement(
      {
        ...{
          session,
          stage: MAX_STAGES - 1,
          role: 'primary',
          record: MAX_RECORDS,
          model: toyDigest,
          positions: MAX_POSITIONS,
        },
        range: { start: 100, end: 256, embedding: false, head: true },
        numericClass: 'x'.repeat(200),
        runtime: { name: 'x'.repeat(100), version: 'x'.repeat(100) },
        ...{ inputAt: chain, outputAt: chain, runsAt: chain },
      },
      new Uint8Array(32),
      0,
    );
    const sealed = sealEnvelope('a'.repeat(64) as PeerId, envelope.payloadType, payload, new Uint8Array(64));
    const encoded = encodePeerMessage({ ...recorded, envelope: sealed });
    expect(encoded.length).toBeLessThan(MAX_ATTESTATION_BYTES);
    expect(encoded.length).toBeGreaterThan(100 * (MAX_POSITIONS / CHUNK_POSITIONS));
    expect(preAuthEncoding(envelope.payloadType, payload).length).toBeGreaterThan(payload.length);
  });
});

describe('hostile records', () => {
  it.each<[string, string, () => Uint8Array<ArrayBuffer>]>([
    ['a request with a short seed', 'bad-message', () => encodePeerMessage(record).slice(0, 85)],
    ['a request for record 0', 'bad-message', () => encodePeerMessage(record).fill(0, 21, 22)],
    ['a request with a byte too many', 'bad-message', () => concatBytes(encodePeerMessage(record), bytes(1))],
    ['a request for no positions', 'bad-message', () => encodePeerMessage(record).fill(0, 17, 21)],
    ['a request beyond the longest session', 'bad-message', () => encodePeerMessage(record).fill(255, 17, 21)],
    ['a record without its key', 'bad-message', () => encodePeerMessage(recorded).slice(0, 48)],
    ['a record without a claim', 'bad-message', () => encodePeerMessage(recorded).slice(0, 115)],
    ['a record without an envelope', 'bad-message', () => encodePeerMessage(recorded).slice(0, HEADER)],
    [
      'a claim that is longer than one can be',
      'bad-message',
      () => concatBytes(encodePeerMessage(recorded).fill(255, 113, 115), bytes(65_535)),
    ],
    ['a record that is not JSON', 'bad-message', () => holding('{')],
    ['a record that is not UTF-8', 'bad-message', () => concatBytes(holding(''), Uint8Array.of(0xff))],
    ['a record that is no envelope', 'bad-message', () => holding('{}')],
    ['an envelope with more in it', 'bad-message', () => holding(JSON.stringify({ ...envelope, more: 1 }))],
    ['an envelope that nobody signed', 'bad-message', () => holding(JSON.stringify({ ...envelope, signatures: [] }))],
    [
      'an envelope that two signed',
      'bad-message',
      () => holding(JSON.stringify({ ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] })),
    ],
    [
      'an envelope that is too large',
      'too-large',
      () => holding(JSON.stringify({ ...envelope, payload: 'A'.repeat(MAX_ATTESTATION_BYTES) })),
    ],
  ])('%s is refused', (_, code, encoded) => {
    expect(codeOf(() => decodePeerMessage(encoded()))).toBe(code);
  });

  it('are not sent either', () => {
    expect(codeOf(() => encodePeerMessage({ ...record, salt: bytes(31) }))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ ...record, seed: bytes(33) }))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ ...recorded, claim: bytes(MAX_CLAIM_BYTES + 1) }))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ ...recorded, claimSignature: bytes(63) }))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ ...record, end: 0 }))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ ...recorded, publicKey: bytes(31) }))).toBe('bad-message');
  });

  it('are met, whatever byte is changed, with a message or bad-message', () => {
    fc.assert(
      fc.property(fc.constantFrom<PeerMessage>(record, recorded), fc.nat(), fc.nat(255), (message, at, value) => {
        const encoded = encodePeerMessage(message);
        encoded[at % encoded.length] = value;
        expect(['no error', 'bad-message']).toContain(codeOf(() => decodePeerMessage(encoded)));
      }),
      { numRuns: 300 },
    );
  });
});
