import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { MAX_CONTROL_MESSAGE_BYTES } from '#shared/limits.ts';
import { connectPeer, type ProvenPeer } from '../../support/control-peer.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

interface Introduction {
  readonly type: string;
  readonly src?: string;
  readonly payload?: unknown;
}

describe('the PeerJS mount', () => {
  let server: TestServer;
  let a: ProvenPeer;
  let b: ProvenPeer;

  beforeEach(async () => {
    server = await startTestServer({ config: { limits: { introductions: { perSecond: 1, burst: 10 } } } });
    [a, b] = [await connectPeer(server.url), await connectPeer(server.url)];
  });
  afterEach(() => server.stop());

  function open(id: string, token: string, headers: Record<string, string> = {}): WebSocket {
    const query = new URLSearchParams({ key: 'peerjs', id, token, version: '1.5.5' });
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/peerjs/peerjs?${query}`, { headers });
    socket.on('error', () => undefined);
    return socket;
  }

  async function next(socket: WebSocket): Promise<Introduction> {
    const [data] = (await once(socket, 'message')) as [Buffer];
    return JSON.parse(data.toString()) as Introduction;
  }

  async function greeted(peer: ProvenPeer): Promise<WebSocket> {
    const socket = open(peer.id, peer.welcome.peerToken);
    expect(await next(socket)).toEqual({ type: 'OPEN' });
    return socket;
  }

  async function closeCode(socket: WebSocket): Promise<number> {
    const [code] = (await once(socket, 'close')) as [number];
    return code;
  }

  it('introduces two proven peers to each other, with the sender’s id by the server', async () => {
    const [from, to] = [await greeted(a), await greeted(b)];
    from.send(JSON.stringify({ type: 'OFFER', dst: b.id, src: 'somebody else', payload: { sdp: 'x' } }));
    expect(await next(to)).toMatchObject({ type: 'OFFER', src: a.id, payload: { sdp: 'x' } });
  });

  it.each([
    ['another peer’s token', () => [a.id, b.welcome.peerToken]],
    ['no token', () => [a.id, '']],
    ['an id that has no control socket', () => ['f'.repeat(64), a.welcome.peerToken]],
    ['an id that is none', () => ['../../x', a.welcome.peerToken]],
  ])('refuses %s', async (_title, query) => {
    const [id, token] = query() as [string, string];
    expect(await closeCode(open(id, token))).toBe(1008);
  });

  it('refuses a token once its control socket is closed, and closes what it opened', async () => {
    const socket = await greeted(a);
    const closed = closeCode(socket);
    await a.close();
    expect(await closed).toBe(1006);
    expect(await closeCode(open(a.id, a.welcome.peerToken))).toBe(1008);
  });

  it('greets a second socket of a peer, and closes the first', async () => {
    const first = await greeted(a);
    const closed = closeCode(first);
    const second = await greeted(a);
    await closed;
    const to = await greeted(b);
    second.send(JSON.stringify({ type: 'OFFER', dst: b.id, payload: 1 }));
    expect(await next(to)).toMatchObject({ type: 'OFFER', src: a.id });
  });

  it('stores nothing for a peer that is not here: an offer expires at once', async () => {
    const socket = await greeted(a);
    socket.send(JSON.stringify({ type: 'OFFER', dst: 'f'.repeat(64), payload: 1 }));
    expect(await next(socket)).toEqual({ type: 'EXPIRE', src: 'f'.repeat(64) });
  });

  it.each([
    ['an unknown type', JSON.stringify({ type: 'OPEN' })],
    ['a destination that is no id', JSON.stringify({ type: 'OFFER', dst: 'x', payload: 1 })],
    ['no destination to leave', JSON.stringify({ type: 'LEAVE' })],
    ['no JSON', '{'],
    ['a number', '1'],
  ])('closes on %s', async (_title, text) => {
    const socket = await greeted(a);
    socket.send(text);
    expect(await closeCode(socket)).toBe(1008);
  });

  it('closes on a message above the size limit', async () => {
    const socket = await greeted(a);
    socket.send(JSON.stringify({ type: 'OFFER', dst: b.id, payload: 'x'.repeat(MAX_CONTROL_MESSAGE_BYTES) }));
    expect(await closeCode(socket)).toBe(1009);
  });

  it('closes on more messages than its rate allows', async () => {
    const socket = await greeted(a);
    for (let i = 0; i < 11; i++) socket.send(JSON.stringify({ type: 'HEARTBEAT' }));
    expect(await closeCode(socket)).toBe(1008);
  });

  it('disconnects a peer that reads nothing', async () => {
    await server.stop();
    server = await startTestServer({ config: { limits: { introductions: { perSecond: 1e6, burst: 1e6 } } } });
    [a, b] = [await connectPeer(server.url), await connectPeer(server.url)];
    const [from, to] = [await greeted(a), await greeted(b)];
    to.pause();
    const offer = JSON.stringify({ type: 'OFFER', dst: b.id, payload: 'x'.repeat(60_000) });
    for (let i = 0; i < 300; i++) from.send(offer);
    expect(await next(from)).toEqual({ type: 'EXPIRE', src: b.id });
  });

  it('refuses pages of other sites', async () => {
    const socket = open(a.id, a.welcome.peerToken, { origin: 'https://evil.example' });
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(403);
  });

  it.each(['/peerjs/peerjs/peers', '/peerjs/peerjs/id', '/peerjs/x/peers', '/peerjs', '/peers', '/peerjs/id'])(
    'has no page %s',
    async (path) => {
      const response = await fetch(server.url + path);
      expect(response.status).toBe(404);
      expect(response.headers.get('access-control-allow-origin')).toBeNull();
    },
  );
});
