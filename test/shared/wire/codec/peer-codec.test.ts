import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_PEER_MESSAGE_BYTES, MAX_POSITIONS } from '#shared/limits.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import type { PeerMessage, RowsMessage } from '#shared/wire/peer-message.ts';
import { codeOf } from '../../../support/code-of.ts';

const session = '00112233445566778899aabbccddeeff' as SessionId;
const volunteer = 'ab'.repeat(32) as PeerId;
const route = {
  payloadType: 'application/vnd.chorus.route+json',
  payload: 'e30=',
  signatures: [{ keyid: 'k', sig: 'c2ln' }],
};

function rowsMessage(change: Partial<RowsMessage> = {}, rows: Partial<Rows> = {}): RowsMessage {
  const bytes = rows.bytes ?? new Uint8Array(2 * 8).map((_, i) => i);
  return {
    type: 'rows',
    session,
    stage: 1,
    epoch: 2,
    sequence: 3,
    chunk: 1,
    logitsFrom: 33,
    rows: { kind: 'hidden', start: 40, count: 2, ...rows, bytes },
    digest: sha256(bytes),
    hops: [{ stage: 0, onward: 'relay', queueUs: 1, decodeUs: 2, runUs: 3000, encodeUs: 4 }],
    ...change,
  };
}

/** Encodes a good message, then changes its bytes. */
function tampered(message: PeerMessage, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array<ArrayBuffer> {
  const bytes = encodePeerMessage(message);
  change(new DataView(bytes.buffer), bytes);
  return bytes;
}

function json(type: number, value: unknown): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(1 + text.length);
  bytes[0] = type;
  bytes.set(text, 1);
  return bytes;
}

describe('the peer message codec', () => {
  const messages: PeerMessage[] = [
    { type: 'open', session, stage: 3 },
    { type: 'ready', session },
    rowsMessage(),
    rowsMessage({ hops: [] }, { kind: 'tokens', bytes: new Uint8Array(8) }),
    rowsMessage({}, { kind: 'logits', bytes: new Uint8Array(2 * (4 + 8 * 64)) }),
    rowsMessage({ logitsFrom: MAX_POSITIONS }, { kind: 'logits', start: 64, count: 0, bytes: new Uint8Array(0) }),
    { type: 'cut', session, epoch: 0xffffffff, position: MAX_POSITIONS },
    { type: 'close', session, reason: 'done – fertig' },
    { type: 'fault', session, stage: 2, code: 'link-lost', message: 'gone', volunteer },
    { type: 'fault', session, stage: 2, code: 'gap', message: '', volunteer: null },
    { type: 'ping', nonce: 7 },
    { type: 'pong', nonce: 0xffffffff },
  ];
  it.each(messages.map((message) => [message.type, message] as const))('gives %s back as it was', (_, message) => {
    expect(decodePeerMessage(encodePeerMessage(message))).toEqual(message);
  });

  it('lays rows out as docs/protocol.md says', () => {
    const bytes = encodePeerMessage(rowsMessage());
    expect([...bytes.subarray(0, 8)]).toEqual([3, 1, 1, 2, 0x00, 0x11, 0x22, 0x33]);
    expect([...bytes.subarray(20, 40)]).toEqual([2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 0, 33, 0, 0, 0]);
    expect([...bytes.subarray(72, 84)]).toEqual([1, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0]);
    expect(bytes.length).toBe(76 + 20 + 16);
  });

  it('returns rows in memory of their own, which a worker can be given', () => {
    const whole = new Uint8Array(1000);
    const encoded = encodePeerMessage(rowsMessage());
    whole.set(encoded, 5);
    const decoded = decodePeerMessage(whole.subarray(5, 5 + encoded.length)) as RowsMessage;
    expect(decoded.rows.bytes.buffer.byteLength).toBe(16);
  });

  it('keeps any rows that pass through it', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const message = fc
      .record({
        chunk: fc.integer({ min: 0, max: 4095 }),
        from: fc.integer({ min: 0, max: 31 }),
        width: fc.integer({ min: 1, max: 64 }),
        count: fc.integer({ min: 1, max: 32 }),
        kind: fc.constantFrom('tokens' as const, 'hidden' as const, 'logits' as const),
        epoch: u32,
        sequence: u32,
        stage: fc.integer({ min: 0, max: 64 }),
        hops: fc.array(
          fc.record({
            stage: fc.integer({ min: 0, max: 63 }),
            onward: fc.constantFrom('webrtc' as const, 'relay' as const),
            queueUs: u32,
            decodeUs: u32,
            runUs: u32,
            encodeUs: u32,
          }),
          { maxLength: 64 },
        ),
      })
      .map(({ chunk, from, width, count, kind, ...rest }) => {
        const rows = Math.min(count, 32 - from);
        const rowBytes = { tokens: 4, hidden: 2 * width, logits: 4 + 8 * width }[kind];
        const bytes = new Uint8Array(rows * rowBytes).map((_, i) => i * 7);
        return rowsMessage({ ...rest, chunk }, { kind, start: 32 * chunk + from, count: rows, bytes });
      });
    fc.assert(
      fc.property(message, (value) => {
        expect(decodePeerMessage(encodePeerMessage(value))).toEqual(value);
      }),
      {
        numRuns: 200,
      },
    );
  });

  it('cuts a reason that is too long instead of losing the link', () => {
    const decoded = decodePeerMessage(encodePeerMessage({ type: 'close', session, reason: 'x'.repeat(2000) }));
    expect(decoded).toEqual({ type: 'close', session, reason: 'x'.repeat(500) });
  });
});

describe('hostile peer messages', () => {
  const hostile: [string, string, () => Uint8Array<ArrayBuffer>][] = [
    ['nothing', 'bad-message', () => new Uint8Array(0)],
    ['an unknown type', 'bad-message', () => Uint8Array.of(99)],
    ['more than the size limit', 'too-large', () => new Uint8Array(MAX_PEER_MESSAGE_BYTES + 1).fill(3)],
    ['JSON that is not UTF-8', 'bad-message', () => Uint8Array.of(1, 0xff, 0xfe)],
    ['an unknown field', 'bad-message', () => json(5, { session, reason: '', more: 1 })],
    ['a missing field', 'bad-message', () => json(5, { session })],
    ['a session that is not hexadecimal', 'bad-message', () => json(5, { session: 'x'.repeat(32), reason: '' })],
    ['a stage above the limit', 'bad-message', () => json(1, { session, stage: 65, route })],
    [
      'a fault code with spaces',
      'bad-message',
      () => json(6, { session, stage: 0, code: 'a b', message: '', volunteer }),
    ],
    ['a ready with a byte too many', 'bad-message', () => new Uint8Array(18).fill(2, 0, 1)],
    ['a ping that is cut short', 'bad-message', () => Uint8Array.of(7, 0, 0)],
    [
      'a cut beyond the longest session',
      'bad-message',
      () => tampered({ type: 'cut', session, epoch: 1, position: 0 }, (v) => v.setUint32(21, MAX_POSITIONS + 1, true)),
    ],
    ['rows shorter than their header', 'bad-message', () => new Uint8Array(75).fill(3, 0, 1)],
    ['an unknown kind of rows', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(1, 3))],
    ['rows for a stage above the limit', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(2, 65))],
    ['no hidden rows', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(3, 0))],
    ['more rows than bytes for them', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(3, 3))],
    ['rows in the wrong chunk', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint32(28, 2, true))],
    ['a chunk beyond all sessions', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint32(28, 1e9, true))],
    ['rows that straddle chunks', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint32(32, 63, true))],
    ['logitsFrom beyond all sessions', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint32(36, 1e9, true))],
    ['a hop over an unknown kind of link', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(77, 3))],
    ['more hops than there are bytes', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(72, 3))],
    ['more hops than stages', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(72, 65))],
    ['a hop of no stage', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(76, 64))],
    ['reserved bytes in use', 'bad-message', () => tampered(rowsMessage(), (v) => v.setUint8(75, 1))],
  ];
  it.each(hostile)('refuses %s as %s', (_, code, bytes) => {
    expect(codeOf(() => decodePeerMessage(bytes()))).toBe(code);
  });

  it('answers any bytes with a message or one of its own errors', () => {
    const random = fc.uint8Array({ maxLength: 300 });
    const typed = fc.tuple(fc.integer({ min: 0, max: 17 }), random).map(([type, rest]) => Uint8Array.of(type, ...rest));
    fc.assert(
      fc.property(fc.oneof(random, typed), (bytes) => {
        const code = codeOf(() => decodePeerMessage(bytes));
        expect(['no error', 'bad-message', 'too-large']).toContain(code);
      }),
      { numRuns: 5000 },
    );
  });

  it('answers any one changed byte of a good message in the same way', () => {
    const good = encodePeerMessage(rowsMessage());
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = good.slice();
        bytes[at] = (bytes[at] as number) ^ flip;
        expect(['no error', 'bad-message']).toContain(codeOf(() => decodePeerMessage(bytes)));
      }),
      { numRuns: 2000 },
    );
  });

  it('does not encode what it would refuse', () => {
    expect(codeOf(() => encodePeerMessage(rowsMessage({ chunk: 0 })))).toBe('bad-message');
    expect(codeOf(() => encodePeerMessage({ type: 'ping', nonce: -1 }))).toBe('bad-message');
  });
});
