import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { MAX_PIECE_BYTES } from '#shared/limits.ts';
import {
  decodeRelayFrame,
  encodeRelayFrame,
  MAX_RELAY_FRAME_BYTES,
  RELAY_HEADER_BYTES,
  withRelaySource,
  type RelayFrame,
} from '#shared/wire/codec/relay-frame.ts';
import { codeOf } from '../../../support/code-of.ts';

const peer = '01'.repeat(32) as PeerId;
const source = 'fe'.repeat(32) as PeerId;

describe('relay frames', () => {
  const frames: RelayFrame[] = [
    { peer, channel: 0, op: 'open' },
    { peer, channel: 0xffffffff, op: 'data', piece: Uint8Array.of(1, 2, 3) },
    { peer, channel: 7, op: 'close', reason: 'peer is not connected' },
    { peer, channel: 7, op: 'credit', bytes: 262_144 },
  ];
  it.each(frames.map((frame) => [frame.op, frame] as const))('give %s back as it was', (_, frame) => {
    expect(decodeRelayFrame(encodeRelayFrame(frame))).toEqual(frame);
  });

  it('are re-addressed by the server without touching the rest', () => {
    const frame = encodeRelayFrame({ peer, channel: 9, op: 'data', piece: Uint8Array.of(4, 5) });
    const passedOn = withRelaySource(frame, source);
    expect(decodeRelayFrame(passedOn)).toEqual({ peer: source, channel: 9, op: 'data', piece: Uint8Array.of(4, 5) });
    expect(decodeRelayFrame(frame).peer).toBe(peer);
  });

  it('hold the largest piece', () => {
    const frame = encodeRelayFrame({ peer, channel: 1, op: 'data', piece: new Uint8Array(MAX_PIECE_BYTES) });
    expect(frame.length).toBe(MAX_RELAY_FRAME_BYTES);
    expect(decodeRelayFrame(frame).op).toBe('data');
  });

  it('cut a reason that is too long', () => {
    const frame = decodeRelayFrame(encodeRelayFrame({ peer, channel: 1, op: 'close', reason: 'x'.repeat(999) }));
    expect(frame).toEqual({ peer, channel: 1, op: 'close', reason: 'x'.repeat(200) });
  });

  const header = encodeRelayFrame({ peer, channel: 1, op: 'open' });
  const withOp = (op: number, ...payload: number[]): Uint8Array<ArrayBuffer> => {
    const bytes = Uint8Array.of(...header, ...payload);
    bytes[36] = op;
    return bytes;
  };
  it.each([
    ['shorter than the header', 'bad-message', header.slice(0, RELAY_HEADER_BYTES - 1)],
    ['longer than a piece', 'too-large', new Uint8Array(MAX_RELAY_FRAME_BYTES + 1)],
    ['of an unknown op', 'bad-message', withOp(4)],
    ['open with a payload', 'bad-message', withOp(0, 1)],
    ['data without any', 'bad-message', withOp(1)],
    ['close with an essay', 'bad-message', withOp(2, ...new Array<number>(201).fill(65))],
    ['credit of three bytes', 'bad-message', withOp(3, 1, 0, 0)],
    ['credit of nothing', 'bad-message', withOp(3, 0, 0, 0, 0)],
    ['credit above the window', 'bad-message', withOp(3, 0, 0, 0, 255)],
  ])('%s are refused as %s', (_, code, bytes) => {
    expect(codeOf(() => decodeRelayFrame(bytes))).toBe(code);
  });

  it('give a frame or one of two errors for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const code = codeOf(() => decodeRelayFrame(bytes));
        expect(['no error', 'bad-message', 'too-large']).toContain(code);
      }),
      { numRuns: 2000 },
    );
  });
});
