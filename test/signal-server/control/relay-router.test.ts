import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { decodeRelayFrame, encodeRelayFrame, MAX_RELAY_FRAME_BYTES } from '#shared/wire/codec/relay-frame.ts';
import type { ControlPeer } from '../../../signal-server/control/control-socket.ts';
import { RelayRouter } from '../../../signal-server/control/relay-router.ts';
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
    a.socket.send(encodeRelayFrame({ peer: b.id, channel: 4, op: 'data', piece }));
    expect(decodeRelayFrame(await b.takeFrame())).toEqual({ peer: a.id, channel: 4, op: 'data', piece });
  });

  it('keeps frames in order', async () => {
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
    const server = await startTestServer({ config: { limits: { relayFrames, relayBufferedBytes: 1024 * 1024 } } });
    const [sender, deaf] = [await connectPeer(server.url), await connectPeer(server.url)];
    deaf.socket.pause();
    const frame = encodeRelayFrame({ peer: deaf.id, channel: 2, op: 'close', reason: 'x'.repeat(200) });
    for (let i = 0; i < 60_000; i++) sender.socket.send(frame);
    sender.socket.send(encodeRelayFrame({ peer: deaf.id, channel: 4, op: 'open' }));
    const answer = decodeRelayFrame(await sender.takeFrame());
    expect(answer).toMatchObject({ channel: 4, op: 'close', reason: 'that peer is not connected to the server' });
    deaf.socket.resume();
    expect(await deaf.closed()).toBe(1006);
    await server.stop();
  });
});

describe('the relay router', () => {
  function peer(id: string, bufferedBytes = 0): ControlPeer & { frames: ReturnType<typeof decodeRelayFrame>[] } {
    const frames: ReturnType<typeof decodeRelayFrame>[] = [];
    return {
      id: id.repeat(64) as PeerId,
      kind: 'cli',
      address: '127.0.0.1',
      peerToken: '',
      bufferedBytes,
      frames,
      send: () => undefined,
      sendFrame: (frame) => frames.push(decodeRelayFrame(frame as Uint8Array<ArrayBuffer>)),
      fail: () => undefined,
    };
  }

  function routerOf(...peers: ControlPeer[]): { router: RelayRouter; clock: FakeClock } {
    const clock = new FakeClock();
    const limits = {
      relayFrames: { perSecond: 2, burst: 2 },
      relayBytes: { perSecond: 1000, burst: 1000 },
      relayBufferedBytes: 100,
    };
    const router = new RelayRouter({
      clock,
      limits,
      peer: (id) => peers.find((one) => one.id === id),
      onRelayed: () => undefined,
    });
    return { router, clock };
  }

  it('closes the channel at both ends when its receiver takes too long', () => {
    const [from, slow] = [peer('a'), peer('b', 101)];
    routerOf(from, slow).router.route(from, encodeRelayFrame({ peer: slow.id, channel: 2, op: 'data', piece }));
    expect(from.frames).toMatchObject([{ peer: slow.id, channel: 2, op: 'close' }]);
    expect(slow.frames).toMatchObject([{ peer: from.id, channel: 2, op: 'close' }]);
  });

  it('still tells a slow receiver that a channel is closed', () => {
    const [from, slow] = [peer('a'), peer('b', 101)];
    routerOf(from, slow).router.route(
      from,
      encodeRelayFrame({ peer: slow.id, channel: 2, op: 'close', reason: 'done' }),
    );
    expect(slow.frames).toMatchObject([{ op: 'close', reason: 'done' }]);
  });

  it('answers no close with a close, so that two absent ends come to rest', () => {
    const from = peer('a');
    routerOf(from).router.route(from, encodeRelayFrame({ peer: absent, channel: 2, op: 'close', reason: '' }));
    expect(from.frames).toEqual([]);
  });

  it('counts each sender for itself and forgives with time', async () => {
    const [from, to] = [peer('a'), peer('b')];
    const { router, clock } = routerOf(from, to);
    const send = (sender: ControlPeer, receiver: ControlPeer): string =>
      codeOf(() => router.route(sender, encodeRelayFrame({ peer: receiver.id, channel: 2, op: 'open' })));
    expect([send(from, to), send(from, to), send(from, to)]).toEqual(['no error', 'no error', 'rate-limited']);
    expect(send(to, from)).toBe('no error');
    await clock.advance(500);
    expect(send(from, to)).toBe('no error');
  });
});
