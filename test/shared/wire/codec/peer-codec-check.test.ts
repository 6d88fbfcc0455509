import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { commitBytes } from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal, Signed } from '#shared/judge/statement.ts';
import { MAX_CHECKS, MAX_POSITIONS } from '#shared/limits.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { codeOf } from '../../../support/code-of.ts';

const session = '00112233445566778899aabbccddeeff' as SessionId;
const bytes = (length: number, first = 0) => new Uint8Array(length).map((_, i) => first + i);
const opening = bytes(16, 12);
const span = { session, epoch: 2, index: 3, start: 40, end: 44 };
const seal = { publicKey: bytes(32, 1), signature: bytes(64, 2) };
const commit: Signed<Commit> = {
  statement: {
    ...span,
    opening,
    stage: 1,
    inputFrom: bytes(32, 3),
    inputTo: bytes(32, 4),
    outputFrom: bytes(32, 5),
    outputTo: bytes(32, 6),
    shapes: bytes(32, 7),
  },
  ...seal,
};
const reveal: Signed<Reveal> = {
  statement: { ...span, opening, stage: 1, seed: bytes(32, 8), input: bytes(4 * 64), output: bytes(4 * 64, 9) },
  ...seal,
};
const rows = { kind: 'hidden', start: 40, count: 2, bytes: bytes(16) } as const;

const audit: PeerMessage = { type: 'audit', session, anchor: bytes(32, 10) };
const check: PeerMessage = { type: 'check', ...span };
const challenge: PeerMessage = { type: 'challenge', session, index: 3, seed: bytes(32, 11), commit };
const recall: PeerMessage = { type: 'recall', session, start: 32, end: 64 };
const recalled: PeerMessage = { type: 'recalled', session, rows };
const tokens = { kind: 'tokens', start: 40, count: 4, bytes: bytes(16) } as const;
const fromTokens = { ...reveal, statement: { ...reveal.statement, input: bytes(0), output: bytes(516) } };
const messages: PeerMessage[] = [
  audit,
  check,
  { type: 'commit', commit },
  challenge,
  { type: 'reveal', reveal },
  { type: 'reveal', reveal: fromTokens },
  recall,
  recalled,
  { type: 'recalled', session, rows: tokens },
];

/** Encodes a good message, then changes its bytes. */
function tampered(message: PeerMessage, change: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  const encoded = encodePeerMessage(message);
  change(new DataView(encoded.buffer));
  return encoded;
}

describe('the codec of a check', () => {
  it.each(messages.map((message) => [message.type, message] as const))('gives %s back as it was', (_, message) => {
    expect(decodePeerMessage(encodePeerMessage(message))).toEqual(message);
  });

  it('lays messages out as docs/protocol.md says', () => {
    expect(messages.map((message) => encodePeerMessage(message)[0])).toEqual([9, 10, 11, 12, 13, 13, 14, 15, 15]);
    const lengths = messages.map((message) => encodePeerMessage(message).length);
    expect(lengths).toEqual([49, 33, 325, 377, 777, 781, 25, 40, 40]);
    expect([...encodePeerMessage(check).subarray(17)]).toEqual([2, 0, 0, 0, 3, 0, 0, 0, 40, 0, 0, 0, 44, 0, 0, 0]);
    expect([...encodePeerMessage(recalled).subarray(0, 4)]).toEqual([15, 1, 2, 0]);
  });

  it('sends the very bytes that are signed', () => {
    expect(encodePeerMessage({ type: 'commit', commit }).subarray(97)).toEqual(commitBytes(commit.statement));
  });

  it('returns values in memory of their own', () => {
    const decoded = decodePeerMessage(encodePeerMessage({ type: 'reveal', reveal }));
    if (decoded.type !== 'reveal') throw new Error('another message');
    expect(decoded.reveal.statement.output.buffer.byteLength).toBe(256);
    expect(decoded.reveal.signature.buffer.byteLength).toBe(64);
  });
});

describe('hostile messages of a check', () => {
  const cases: [string, () => Uint8Array<ArrayBuffer>][] = [
    ['an audit with a short anchor', () => encodePeerMessage(audit).subarray(0, 48)],
    ['a check with a byte too many', () => Uint8Array.of(...encodePeerMessage(check), 0)],
    ['a check without a number', () => tampered(check, (v) => v.setUint32(21, 0, true))],
    ['a check with a number above all seeds', () => tampered(check, (v) => v.setUint32(21, MAX_CHECKS + 1, true))],
    ['a check of no positions', () => tampered(check, (v) => v.setUint32(29, 40, true))],
    ['a check that ends before it starts', () => tampered(check, (v) => v.setUint32(29, 39, true))],
    ['a check of two chunks', () => tampered(check, (v) => v.setUint32(29, 65, true))],
    [
      'a check beyond the longest session',
      () =>
        tampered(check, (v) => {
          v.setUint32(25, MAX_POSITIONS, true);
          v.setUint32(29, MAX_POSITIONS + 1, true);
        }),
    ],
    ['a commit that is cut short', () => encodePeerMessage({ type: 'commit', commit }).subarray(0, 324)],
    ['a commit of another domain', () => tampered({ type: 'commit', commit }, (v) => v.setUint8(97, 0))],
    ['a commit to two chunks', () => tampered({ type: 'commit', commit }, (v) => v.setUint32(97 + 60, 65, true))],
    ['a commit of a stage above the limit', () => tampered({ type: 'commit', commit }, (v) => v.setUint8(97 + 64, 65))],
    ['a challenge of no span', () => tampered(challenge, (v) => v.setUint32(17, 0, true))],
    ['a challenge that is cut short', () => encodePeerMessage(challenge).subarray(0, 376)],
    ['a challenge with a commit of another domain', () => tampered(challenge, (v) => v.setUint8(149, 0))],
    ['a reveal without values', () => encodePeerMessage({ type: 'reveal', reveal }).subarray(0, 261)],
    ['a reveal shorter than what is signed', () => encodePeerMessage({ type: 'reveal', reveal }).subarray(0, 200)],
    [
      'a reveal whose input ends beyond it',
      () => tampered({ type: 'reveal', reveal }, (v) => v.setUint32(261, 4000, true)),
    ],
    [
      'a reveal whose input is not one sketch for each row',
      () => tampered({ type: 'reveal', reveal }, (v) => v.setUint32(261, 260, true)),
    ],
    ['a reveal of other values', () => tampered({ type: 'reveal', reveal }, (v) => v.setUint8(265, 77))],
    ['a recall of no rows', () => tampered(recall, (v) => v.setUint32(21, 32, true))],
    ['a recall of two chunks', () => tampered(recall, (v) => v.setUint32(21, 65, true))],
    ['recalled logits', () => tampered(recalled, (v) => v.setUint8(1, 2))],
    ['recalled rows of an unknown kind', () => tampered(recalled, (v) => v.setUint8(1, 3))],
    ['no recalled rows', () => tampered(recalled, (v) => v.setUint8(2, 0))],
    ['more recalled rows than bytes', () => tampered(recalled, (v) => v.setUint8(2, 3))],
    ['recalled rows of two chunks', () => tampered(recalled, (v) => v.setUint32(20, 63, true))],
    ['recalled rows with reserved bytes in use', () => tampered(recalled, (v) => v.setUint8(3, 1))],
    ['recalled rows shorter than their header', () => encodePeerMessage(recalled).subarray(0, 23)],
  ];
  it.each(cases)('refuses %s as bad-message', (_, encoded) => {
    expect(codeOf(() => decodePeerMessage(encoded()))).toBe('bad-message');
  });

  it('answers any one changed byte of a good message with a message or bad-message', () => {
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.nat(), fc.integer({ min: 1, max: 255 }), (message, at, flip) => {
        const encoded = encodePeerMessage(message);
        const place = at % encoded.length;
        encoded[place] = encoded[place]! ^ flip;
        expect(['no error', 'bad-message', 'too-large']).toContain(codeOf(() => decodePeerMessage(encoded)));
      }),
      { numRuns: 3000 },
    );
  });

  it.each<[string, PeerMessage]>([
    ['an audit with a long anchor', { ...audit, anchor: bytes(33) }],
    ['a check of two chunks', { ...check, end: 65 }],
    ['a commit without a signature', { type: 'commit', commit: { ...commit, signature: bytes(0) } }],
    [
      'a commit with a chain of another size',
      { type: 'commit', commit: { ...commit, statement: { ...commit.statement, inputTo: bytes(31) } } },
    ],
    ['a challenge with a short seed', { ...challenge, seed: bytes(31) }],
    [
      'a reveal of sketches of other rows',
      { type: 'reveal', reveal: { ...reveal, statement: { ...reveal.statement, input: bytes(64) } } },
    ],
  ])('does not encode %s', (_, message) => {
    expect(codeOf(() => encodePeerMessage(message))).toBe('bad-message');
  });
});
