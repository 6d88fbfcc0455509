import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { LINK_WINDOW_BYTES, MAX_LINKS_PER_PEER } from '#shared/limits.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import { RelayMux } from '#shared/peer/link/relay-channel.ts';
import { decodeRelayFrame, encodeRelayFrame, type RelayFrame } from '#shared/wire/codec/relay-frame.ts';
import { codeOf } from '../../../support/code-of.ts';

const small = '11'.repeat(32) as PeerId;
const large = '99'.repeat(32) as PeerId;

describe('channels over the relay', () => {
  let sent: RelayFrame[];
  let mux: RelayMux;
  let incoming: { peer: PeerId; channel: Channel }[];
  const deliver = (frame: RelayFrame): void => mux.receive(encodeRelayFrame(frame));
  beforeEach(() => {
    sent = [];
    incoming = [];
    mux = new RelayMux(small, (frame) => sent.push(decodeRelayFrame(frame)));
    mux.onIncoming = (peer, channel) => incoming.push({ peer, channel });
  });

  it('have even numbers where the smaller id opened them, odd ones otherwise', () => {
    const self = '55'.repeat(32) as PeerId;
    mux = new RelayMux(self, (frame) => sent.push(decodeRelayFrame(frame)));
    for (const peer of [large, small, large]) mux.open(peer);
    expect(sent.map(({ peer, channel, op }) => [peer, channel % 2, op])).toEqual([
      [large, 0, 'open'],
      [small, 1, 'open'],
      [large, 0, 'open'],
    ]);
    expect(new Set(sent.map(({ channel }) => channel)).size).toBe(3);
  });

  it('are told apart by peer and number', () => {
    deliver({ peer: large, channel: 1, op: 'open' });
    deliver({ peer: large, channel: 3, op: 'open' });
    const pieces: [number, number][] = [];
    incoming.forEach(({ channel }, i) => (channel.onPiece = (piece) => pieces.push([i, piece[0] as number])));
    deliver({ peer: large, channel: 3, op: 'data', piece: Uint8Array.of(7) });
    deliver({ peer: large, channel: 1, op: 'data', piece: Uint8Array.of(8) });
    expect(pieces).toEqual([
      [1, 7],
      [0, 8],
    ]);
  });

  it('give credit for what was taken, so that the sender may go on', () => {
    deliver({ peer: large, channel: 1, op: 'open' });
    const piece = new Uint8Array(16_384);
    for (let i = 0; i < LINK_WINDOW_BYTES / piece.length; i++) deliver({ peer: large, channel: 1, op: 'data', piece });
    const credits = sent.filter((frame) => frame.op === 'credit');
    expect(credits.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(LINK_WINDOW_BYTES);
    expect(credits.length).toBe(4);
  });

  it('count as buffered what the other side has not taken', () => {
    const channel = mux.open(large);
    let drains = 0;
    channel.onDrain = () => drains++;
    channel.send(new Uint8Array(1000));
    expect(channel.bufferedBytes).toBe(1000);
    deliver({ peer: large, channel: 0, op: 'credit', bytes: 600 });
    expect([channel.bufferedBytes, drains]).toEqual([400, 1]);
    deliver({ peer: large, channel: 0, op: 'credit', bytes: 600 });
    expect(channel.bufferedBytes).toBe(0);
  });

  it('close with the reason that came, once', () => {
    const channel = mux.open(large);
    const reasons: string[] = [];
    channel.onClose = (reason) => reasons.push(reason);
    deliver({ peer: large, channel: 0, op: 'close', reason: 'that peer is not connected' });
    deliver({ peer: large, channel: 0, op: 'close', reason: 'again' });
    expect(reasons).toEqual(['that peer is not connected']);
    expect(codeOf(() => channel.send(Uint8Array.of(1)))).toBe('link-lost');
  });

  it('all end with the socket', () => {
    const reasons: string[] = [];
    for (let i = 0; i < 3; i++) mux.open(large).onClose = (reason) => reasons.push(reason);
    mux.closeAll('no socket');
    expect(reasons).toEqual(['no socket', 'no socket', 'no socket']);
  });

  it('begin anew where the other side opens the same number again', () => {
    deliver({ peer: large, channel: 1, op: 'open' });
    let isClosed = false;
    (incoming[0] as (typeof incoming)[0]).channel.onClose = () => (isClosed = true);
    deliver({ peer: large, channel: 1, op: 'open' });
    expect([isClosed, incoming.length]).toEqual([true, 2]);
  });

  it.each([
    ['data for no channel', { peer: large, channel: 1, op: 'data', piece: Uint8Array.of(1) }],
    ['a number that is ours to give', { peer: large, channel: 2, op: 'open' }],
  ] as [string, RelayFrame][])('answer %s with a close', (_, frame) => {
    deliver(frame);
    expect(sent.map(({ op }) => op)).toEqual(['close']);
    expect(incoming).toEqual([]);
  });

  it.each([
    ['a close', { peer: large, channel: 1, op: 'close', reason: '' }],
    ['a credit', { peer: large, channel: 1, op: 'credit', bytes: 1 }],
  ] as [string, RelayFrame][])('do not answer %s for no channel, or two ends would never stop', (_, frame) => {
    deliver(frame);
    expect(sent).toEqual([]);
  });

  it('are few for one peer', () => {
    for (let i = 0; i <= MAX_LINKS_PER_PEER; i++) deliver({ peer: large, channel: 2 * i + 1, op: 'open' });
    expect(incoming.length).toBe(MAX_LINKS_PER_PEER);
    expect(sent.map(({ op }) => op)).toEqual(['close']);
  });

  it('are refused while nobody wants them', () => {
    mux.onIncoming = null;
    deliver({ peer: large, channel: 1, op: 'open' });
    expect(sent).toEqual([{ peer: large, channel: 1, op: 'close', reason: 'not accepting links' }]);
  });
});
