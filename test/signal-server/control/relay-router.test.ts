import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { HANDSHAKE_TIMEOUT_MS, LINK_WINDOW_BYTES, MAX_PIECE_BYTES } from '#shared/limits.ts';
import {
  decodeRelayFrame,
  encodeRelayFrame,
  MAX_RELAY_FRAME_BYTES,
  type RelayFrame,
} from '#shared/wire/codec/relay-frame.ts';
import type { ControlPeer } from '../../../signal-server/control/control-socket.ts';
import { RelayRouter, type RelayRouterDeps } from '../../../signal-server/control/relay-router.ts';
import { codeOf } from '../../support/code-of.ts';
import { connectPeer, type ProvenPeer } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

const piece = new Uint8Array([1, 2, 3]);
const absent = 'f'.repeat(64) as PeerId;

describe('the relay over real sockets', () => {
  let server: TestServer;
  let a: ProvenPeer;
  let b: ProvenPeer;

  beforeEach(async () => {
    server = await startTestServer();
    [a, b] = [await connectPeer(server.url), await connectPeer(server.url)];
  });
  afterEach(() => server.stop());

  it('passes a frame on with its source in place of its destination', async () => {
    a.socket.send(encodeRelayFrame({ peer: b.id, channel: 4, op: 'open' }));
    await b.takeFrame();
    a.socket.send(encodeRelayFrame({ peer: b.id, channel: 4, op: 'data', piece }));
    expect(decodeRelayFrame(await b.takeFrame())).toEqual({ peer: a.id, channel: 4, op: 'data', piece });
  });

  it('keeps frames in order', async () => {
    await server.stop();
    server = await startTestServer({ config: { limits: { relayHalfOpen: 500 } } });
    [a, b] = [await connectPeer(server.url), await connectPeer(server.url)];
    for (let channel = 0; channel < 500; channel++)
      a.socket.send(encodeRelayFrame({ peer: b.id, channel, op: 'open' }));
    for (let channel = 0; channel < 500; channel++) expect(decodeRelayFrame(await b.takeFrame()).channel).toBe(channel);
  });

  it('answers a frame to an absent peer with close', async () => {
    a.socket.send(encodeRelayFrame({ peer: absent, channel: 8, op: 'open' }));
    expect(decodeRelayFrame(await a.takeFrame())).toMatchObject({ peer: absent, channel: 8, op: 'close' });
  });

  it('answers a frame to its own sender with close', async () => {
    a.socket.send(encodeRelayFrame({ peer: a.id, channel: 8, op: 'open' }));
    expect(decodeRelayFrame(await a.takeFrame())).toMatchObject({ peer: a.id, op: 'close' });
  });

  const good = encodeRelayFrame({ peer: absent, channel: 0, op: 'open' });
  it.each([
    ['one shorter than its header', good.slice(0, -1), 'bad-message'],
    ['one with an unknown op', Uint8Array.from(good, (byte, i) => (i === 36 ? 9 : byte)), 'bad-message'],
    ['an open that carries something', Uint8Array.of(...good, 1), 'bad-message'],
    ['a data frame without data', Uint8Array.from(good, (byte, i) => (i === 36 ? 1 : byte)), 'bad-message'],
    ['a credit of three bytes', Uint8Array.of(...good.slice(0, 36), 3, 1, 0, 0), 'bad-message'],
    ['one above the size limit', new Uint8Array(MAX_RELAY_FRAME_BYTES + 1), 'too-large'],
  ])('closes the socket that sends a bad frame: %s', async (_title, frame, code) => {
    a.socket.send(frame);
    expect((await a.take('error')).code).toBe(code);
    expect(await a.closed()).toBe(1008);
  });

  it('closes the socket that sends more than its share', async () => {
    await server.stop();
    server = await startTestServer({ config: { limits: { relayFrames: { perSecond: 1, burst: 10 } } } });
    [a, b] = [await connectPeer(server.url), await connectPeer(server.url)];
    for (let i = 0; i < 11; i++) a.socket.send(encodeRelayFrame({ peer: b.id, channel: i, op: 'open' }));
    expect((await a.take('error')).code).toBe('rate-limited');
  });
});

describe('a peer that reads nothing', () => {
  it('is disconnected, whatever others send it', async () => {
    const relayFrames = { perSecond: 1e6, burst: 1e6 };
    const limits = { relayFrames, relayFramesPerAddress: relayFrames, relayBufferedBytes: 64 * 1024 };
    const server = await startTestServer({ config: { limits, times: { heartbeatMs: 60_000 } } });
    const [sender, deaf] = [await connectPeer(server.url), await connectPeer(server.url)];
    deaf.socket.pause();
    const open = encodeRelayFrame({ peer: deaf.id, channel: 2, op: 'open' });
    const close = encodeRelayFrame({ peer: deaf.id, channel: 2, op: 'close', reason: 'x'.repeat(200) });
    let isAnswered = false;
    sender.socket.on('message', (_data, isBinary) => (isAnswered ||= isBinary));
    for (let sent = 0; sent < 60_000 && !isAnswered; sent += 1_000) {
      for (let i = 0; i < 1_000; i++) for (const frame of [open, close]) sender.socket.send(frame);
      await sender.heard();
    }
    sender.socket.send(encodeRelayFrame({ peer: deaf.id, channel: 4, op: 'open' }));
    // Those that came after it was gone are answered first.
    let answer = decodeRelayFrame(await sender.takeFrame());
    while (answer.channel === 2) answer = decodeRelayFrame(await sender.takeFrame());
    expect(answer).toMatchObject({ channel: 4, op: 'close', reason: 'that peer is not connected to the server' });
    deaf.socket.resume();
    expect(await deaf.closed()).toBe(1006);
    await server.stop();
  });
});

describe('the relay router', () => {
  interface Peer extends ControlPeer {
    readonly frames: ReturnType<typeof decodeRelayFrame>[];
    readonly failures: string[];
    bufferedBytes: number;
  }

  function peer(id: string, client: string | null = '192.0.2.1'): Peer {
    const frames: Peer['frames'] = [];
    const failures: string[] = [];
    return {
      id: id.repeat(64) as PeerId,
      kind: 'cli',
      address: '127.0.0.1',
      client,
      peerToken: '',
      bufferedBytes: 0,
      ...{ frames, failures },
      send: () => undefined,
      sendFrame: (frame) => frames.push(decodeRelayFrame(frame as Uint8Array<ArrayBuffer>)),
      fail: (code) => void failures.push(code),
    };
  }

  const plenty = { perSecond: 1e6, burst: 1e6 };
  const usual = {
    ...{ relayFrames: plenty, relayFramesPerAddress: plenty },
    ...{ relayBytes: { perSecond: 1e9, burst: 1e9 }, relayBytesPerAddress: { perSecond: 1e9, burst: 1e9 } },
    ...{ relayStrays: { perSecond: 1, burst: 2 }, relayHalfOpen: 2, relayBufferedBytes: 100 },
  };

  function routerOf(
    peers: readonly ControlPeer[],
    limits: Partial<RelayRouterDeps['limits']> = {},
  ): { router: RelayRouter; clock: FakeClock } {
    const clock = new FakeClock();
    const router = new RelayRouter({
      clock,
      limits: { ...usual, ...limits },
      peer: (id) => peers.find((one) => one.id === id),
      onRelayed: () => undefined,
    });
    return { router, clock };
  }

  type WithoutPeer<Frame> = Frame extends unknown ? Omit<Frame, 'peer'> : never;
  const route = (router: RelayRouter, from: Peer, to: Peer, frame: WithoutPeer<RelayFrame>): string =>
    codeOf(() => router.route(from, encodeRelayFrame({ peer: to.id, ...frame })));
  const open = { op: 'open', channel: 2 } as const;
  const data = (bytes: number, channel = 2) => ({ op: 'data', channel, piece: new Uint8Array(bytes) }) as const;
  const credit = (bytes: number) => ({ op: 'credit', channel: 2, bytes }) as const;
  /** A channel that the other end has answered. */
  const join = (router: RelayRouter, from: Peer, to: Peer, channel = 2): void => {
    route(router, from, to, { op: 'open', channel });
    route(router, to, from, data(1, channel));
    from.frames.length = to.frames.length = 0;
  };

  it('closes the channel at both ends when its receiver takes too long', () => {
    const [from, slow] = [peer('a'), peer('b')];
    const { router } = routerOf([from, slow]);
    join(router, from, slow);
    slow.bufferedBytes = 101;
    route(router, from, slow, data(3));
    expect(from.frames).toMatchObject([{ peer: slow.id, channel: 2, op: 'close' }]);
    expect(slow.frames).toMatchObject([{ peer: from.id, channel: 2, op: 'close' }]);
  });

  it('closes those of the address for which most waits there, and leaves others theirs while it drains', () => {
    const [flooder, twin, honest, slow] = [peer('a', 'bad'), peer('b', 'bad'), peer('c', 'good'), peer('d', 'slow')];
    const { router } = routerOf([flooder, twin, honest, slow]);
    for (const from of [flooder, twin, honest]) join(router, from, slow);
    for (const from of [flooder, twin]) route(router, from, slow, data(60));
    slow.frames.length = 0;
    slow.bufferedBytes = 101;
    for (let i = 0; i < 3; i++) expect(route(router, honest, slow, data(50))).toBe('no error');
    expect(honest.frames).toEqual([]);
    expect([flooder, twin].map(({ frames }) => frames.at(-1)?.op)).toEqual(['close', 'close']);
    expect(slow.frames.filter(({ op }) => op === 'data').map(({ peer }) => peer)).toEqual(Array(3).fill(honest.id));
  });

  it('still tells a slow receiver that a channel is closed', () => {
    const [from, slow] = [peer('a'), peer('b')];
    const { router } = routerOf([from, slow]);
    join(router, from, slow);
    slow.bufferedBytes = 101;
    route(router, from, slow, { op: 'close', channel: 2, reason: 'done' });
    expect(slow.frames).toMatchObject([{ op: 'close', reason: 'done' }]);
  });

  it('answers no close with a close, so that two absent ends come to rest', () => {
    const from = peer('a');
    routerOf([from]).router.route(from, encodeRelayFrame({ peer: absent, channel: 2, op: 'close', reason: '' }));
    expect(from.frames).toEqual([]);
  });

  it('counts each sender for itself and forgives with time', async () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router, clock } = routerOf([from, to], { relayFrames: { perSecond: 2, burst: 2 } });
    const send = (sender: Peer, receiver: Peer): string => route(router, sender, receiver, open);
    expect([send(from, to), send(from, to), send(from, to)]).toEqual(['no error', 'no error', 'rate-limited']);
    expect(send(to, from)).toBe('no error');
    await clock.advance(500);
    expect(send(from, to)).toBe('no error');
  });

  it.each([
    ['frames', { relayFramesPerAddress: { perSecond: 1, burst: 8 } }],
    ['bytes', { relayBytesPerAddress: { perSecond: 1, burst: 800 } }],
  ])('drops, where an address has sent too many %s, the key that sent most of them', (_title, limits) => {
    const [flooder, modest, other] = [peer('a'), peer('b'), peer('c', '192.0.2.2')];
    const { router } = routerOf([flooder, modest, other], limits);
    for (const from of [modest, flooder]) join(router, from, other);
    const send = (from: Peer): string => route(router, from, other, data(100));
    for (let i = 0; i < 5; i++) expect(send(flooder)).toBe('no error');
    expect([send(modest), send(modest)]).toEqual(['no error', 'no error']);
    expect([flooder.failures[0], modest.failures]).toEqual(['rate-limited', []]);
    expect(send(flooder)).toBe('rate-limited');
    expect(route(router, other, modest, data(1))).toBe('no error');
  });

  it('gives the server’s own peers no budget of an address', () => {
    const [own, to] = [peer('a', null), peer('b')];
    const { router } = routerOf([own, to], { relayFramesPerAddress: { perSecond: 1, burst: 1 }, relayHalfOpen: 1 });
    for (let channel = 0; channel < 5; channel++)
      expect(route(router, own, to, { op: 'open', channel })).toBe('no error');
    expect(to.frames).toHaveLength(5);
  });

  it('passes no piece on a channel that was not opened, and drops whoever keeps sending them', () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router } = routerOf([from, to]);
    expect([1, 2, 3].map(() => route(router, from, to, data(3)))).toEqual(['no error', 'no error', 'rate-limited']);
    expect(to.frames).toEqual([]);
    expect(from.frames).toMatchObject([{ op: 'close' }, { op: 'close' }]);
  });

  it('passes a greeting on a channel that nobody has answered yet, and no more', () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router } = routerOf([from, to]);
    expect([open, data(1024), data(1)].map((frame) => route(router, from, to, frame))).toEqual([
      'no error',
      'no error',
      'bad-message',
    ]);
  });

  it('passes no more on a channel than its receiver has taken, and more once that gave credit', () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router } = routerOf([from, to]);
    join(router, from, to);
    const pieces = LINK_WINDOW_BYTES / MAX_PIECE_BYTES + 1;
    const send = (): string => route(router, from, to, data(MAX_PIECE_BYTES));
    for (let i = 0; i < pieces; i++) expect(send()).toBe('no error');
    expect(route(router, to, from, credit(MAX_PIECE_BYTES))).toBe('no error');
    expect([send(), send()]).toEqual(['no error', 'rate-limited']);
  });

  it('refuses one address more channels to a peer that it has not answered, for as long as a handshake takes', async () => {
    const [from, to, neighbour] = [peer('a'), peer('b'), peer('c', '192.0.2.2')];
    const { router, clock } = routerOf([from, to, neighbour]);
    const openMore = (sender: Peer, channel: number): unknown => {
      sender.frames.length = 0;
      route(router, sender, to, { op: 'open', channel });
      return sender.frames.at(-1)?.op;
    };
    expect([openMore(from, 2), openMore(from, 4), openMore(from, 6)]).toEqual([undefined, undefined, 'close']);
    expect(openMore(neighbour, 2)).toBeUndefined();
    route(router, to, from, data(1));
    expect(openMore(from, 6)).toBeUndefined();
    expect(openMore(from, 8)).toBe('close');
    await clock.advance(HANDSHAKE_TIMEOUT_MS + 1);
    expect(openMore(from, 8)).toBeUndefined();
  });

  it('keeps nothing of a peer that is gone', () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router } = routerOf([from, to]);
    join(router, from, to);
    router.forget(to.id);
    route(router, from, to, data(3));
    expect([to.frames, from.frames.map(({ op }) => op)]).toEqual([[], ['close']]);
  });
});
