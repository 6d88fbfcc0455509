import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import {
  LINK_IDLE_MS,
  LINK_PING_MS,
  LINK_PING_TIMEOUT_MS,
  LINK_WINDOW_BYTES,
  MAX_PIECE_BYTES,
} from '#shared/limits.ts';
import { FramedLink } from '#shared/peer/link/framed-link.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { FakeClock, settle } from '../../../support/fake-clock.ts';
import { LoopbackChannel } from '../../../support/loopback-channel.ts';

const session = 'cd'.repeat(16) as SessionId;
const ready: PeerMessage = { type: 'ready', session };

function linked() {
  const [channelA, channelB] = LoopbackChannel.pair();
  const clock = new FakeClock();
  const a = new FramedLink(channelA, 'b'.repeat(64) as PeerId, clock);
  const b = new FramedLink(channelB, 'a'.repeat(64) as PeerId, clock);
  return { a, b, channelA, channelB, clock };
}

function collect(link: FramedLink): PeerMessage[] {
  const messages: PeerMessage[] = [];
  link.onMessage((message) => messages.push(message));
  return messages;
}

function closeReason(link: FramedLink): { reason?: string } {
  const seen: { reason?: string } = {};
  link.onClose((reason) => (seen.reason = reason));
  return seen;
}

/** Two MiB of hidden rows. */
function largeRows(sequence: number): PeerMessage {
  const rows = { kind: 'hidden' as const, start: 0, count: 32, bytes: new Uint8Array(32 * 65_536) };
  return rowsMessage({ session, stage: 1, epoch: 0, sequence, chunk: 0, logitsFrom: 0, rows, hops: [] });
}

describe('a framed link', () => {
  it('keeps pings and pongs to itself', async () => {
    const { b, clock } = linked();
    const messages = collect(b);
    await clock.advance(10 * LINK_PING_MS);
    expect(messages).toEqual([]);
    expect(b.isClosed).toBe(false);
  });

  it('closes when too many messages wait for a side that takes none', async () => {
    const { a, channelA } = linked();
    channelA.hold();
    const sendings: Promise<void>[] = [];
    while (!a.isClosed && sendings.length < 50_000) sendings.push(a.send(ready));
    expect(a.isClosed).toBe(true);
    expect(await codeOfAsync(sendings.at(-1)!)).toBe('link-lost');
    await Promise.allSettled(sendings);
  });

  it('closes when too many bytes wait for a side that takes none, long before there are too many messages', async () => {
    const { a, channelA } = linked();
    channelA.hold();
    const sendings: Promise<void>[] = [];
    while (!a.isClosed && sendings.length < 100) sendings.push(a.send(largeRows(sendings.length)));
    expect(sendings.length).toBeGreaterThan(16);
    expect(sendings.length).toBeLessThan(40);
    expect(await codeOfAsync(sendings.at(-1)!)).toBe('link-lost');
    await Promise.allSettled(sendings);
  });

  it('counts only what still waits', async () => {
    const { a, b } = linked();
    collect(b);
    for (let sequence = 0; sequence < 40; sequence++) await a.send(largeRows(sequence));
    expect(a.isClosed).toBe(false);
  });

  it('smooths the round trips that it measures', async () => {
    const { a, channelB, clock } = linked();
    await clock.advance(0);
    expect(a.roundTripMs).toBe(0);
    channelB.hold();
    await clock.advance(LINK_PING_MS + 80);
    channelB.release();
    await settle();
    expect(a.roundTripMs).toBeCloseTo(10, 6);
  });

  it('closes when the other side has been silent for too long', async () => {
    const { a, channelB, clock } = linked();
    await clock.advance(0);
    const seen = closeReason(a);
    channelB.hold();
    await clock.advance(LINK_PING_TIMEOUT_MS);
    expect(a.isClosed).toBe(false);
    await clock.advance(LINK_PING_MS);
    expect(seen.reason).toBe('the other side is silent');
    expect(await codeOfAsync(a.send(ready))).toBe('link-lost');
    expect(clock.pendingTimers).toBe(0);
  });

  it('forgives a stall of its own, such as a page that slept', async () => {
    const { a, b, clock } = linked();
    await clock.advance(0);
    clock.skip(60_000);
    await clock.advance(LINK_PING_MS);
    expect([a.isClosed, b.isClosed]).toEqual([false, false]);
  });

  it('closes when nothing but pings has passed for long', async () => {
    const { a, b, clock } = linked();
    const seen = closeReason(a);
    await clock.advance(LINK_IDLE_MS - 1000);
    await b.send(ready);
    collect(a);
    await clock.advance(LINK_IDLE_MS - 1000);
    expect(a.isClosed).toBe(false);
    await clock.advance(2 * LINK_PING_MS);
    expect(seen.reason).toBe('idle');
  });

  it('lets a sender wait at the window and go on when the channel has drained', async () => {
    const { a, b, channelA } = linked();
    const received = collect(b);
    channelA.hold();
    let resolved = 0;
    const sends = [0, 1, 2].map((sequence) => a.send(largeRows(sequence)).then(() => resolved++));
    await settle();
    expect(resolved).toBe(0);
    expect(channelA.bufferedBytes).toBeLessThanOrEqual(LINK_WINDOW_BYTES + MAX_PIECE_BYTES);
    channelA.release();
    await Promise.all(sends);
    await settle();
    expect(received.map((message) => message.type === 'rows' && message.sequence)).toEqual([0, 1, 2]);
  });

  it('puts a ping between the pieces of a large message', async () => {
    const { a, b, channelA, clock } = linked();
    collect(b);
    await clock.advance(0);
    channelA.hold();
    const sent = a.send(largeRows(0));
    await clock.advance(LINK_PING_MS);
    channelA.release();
    await sent;
    const lengths = channelA.sent.map((piece) => piece.length);
    const ping = lengths.indexOf(21, 2);
    expect(ping).toBeGreaterThan(2);
    expect(ping).toBeLessThan(lengths.length - 10);
  });

  it('rejects what waits when it closes', async () => {
    const { a, b, channelA } = linked();
    channelA.hold();
    const sends = [codeOfAsync(a.send(largeRows(0))), codeOfAsync(a.send(ready))];
    await settle();
    b.close('gone');
    expect(await Promise.all(sends)).toEqual(['link-lost', 'link-lost']);
  });

  it('gives early messages to all who begin to listen in the same turn', async () => {
    const { a, b } = linked();
    await a.send(ready);
    await settle();
    const [first, second] = [collect(b), collect(b)];
    await settle();
    expect([first, second]).toEqual([[ready], [ready]]);
  });

  it('tells the reason to those who listen for the close too late', async () => {
    const { a } = linked();
    a.close('enough');
    const seen = closeReason(a);
    await settle();
    expect(seen.reason).toBe('enough');
  });

  it('does not send what breaks the protocol, and stays open', async () => {
    const { a } = linked();
    expect(await codeOfAsync(a.send({ type: 'cut', session, epoch: -1, position: 0 }))).toBe('bad-message');
    expect(a.isClosed).toBe(false);
  });

  it.each([
    ['a piece that is no frame', Uint8Array.of(1, 2, 3)],
    ['a message that cannot be read', Uint8Array.of(1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 99)],
  ])('closes on %s', async (_, piece) => {
    const { a, b, channelA } = linked();
    channelA.send(piece);
    await settle();
    await settle();
    expect([a.isClosed, b.isClosed]).toEqual([true, true]);
  });

  it('closes when nobody listens and too much comes', async () => {
    const { a, b } = linked();
    await codeOfAsync(a.send(largeRows(0)));
    await settle();
    expect(b.isClosed).toBe(true);
  });
});
