import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_CONTROL_MESSAGE_BYTES } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { connectPeer, newIdentity, offerOf, proofFor, RawPeer } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

type Prove = Extract<PeerControlMessage, { type: 'prove' }>;

describe('a control socket', () => {
  let server: TestServer;
  const opened: RawPeer[] = [];

  beforeAll(async () => {
    server = await startTestServer({ config: { limits: { messages: { perSecond: 1, burst: 20 } } } });
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((peer) => peer.close()));
  });
  afterAll(() => server.stop());

  async function open(headers: Record<string, string> = {}): Promise<RawPeer> {
    const peer = new RawPeer(server.url, headers);
    opened.push(peer);
    await once(peer.socket, 'open');
    return peer;
  }

  async function refusal(peer: RawPeer): Promise<string> {
    const { code } = await peer.take('error');
    expect(await peer.closed()).toBe(1008);
    return code;
  }

  it('welcomes who proves its key, and proves its own', async () => {
    const peer = await open();
    const identity = await newIdentity();
    const { prove, isServer } = await proofFor(peer, identity);
    peer.send(prove);
    const welcome = await peer.take('welcome');
    expect(welcome).toMatchObject({ id: identity.id, relayByDefault: false });
    expect(Math.abs(welcome.serverTimeMs - Date.now())).toBeLessThan(60_000);
    expect(await isServer(welcome)).toBe(true);
  });

  const other = toBase64(new Uint8Array(32).fill(9));
  const wrong: [string, Partial<Prove>, string][] = [
    ['another protocol', { protocol: 99 }, 'protocol-version'],
    ['another key', { publicKey: other }, 'bad-signature'],
    ['another nonce than was signed', { nonce: other }, 'bad-signature'],
    ['another signature', { signature: toBase64(new Uint8Array(64)) }, 'bad-signature'],
    ['a short signature', { signature: toBase64(new Uint8Array(63)) }, 'bad-message'],
    ['a short key', { publicKey: toBase64(new Uint8Array(31)) }, 'bad-message'],
    ['a short nonce', { nonce: toBase64(new Uint8Array(16)) }, 'bad-message'],
    ['an empty nonce', { nonce: '' }, 'bad-message'],
    ['a key that is not base64', { publicKey: '====' }, 'bad-message'],
    ['an unknown kind', { kind: 'server' as Prove['kind'] }, 'bad-message'],
  ];
  it.each(wrong)('refuses a proof with %s', async (_title, field, code) => {
    const peer = await open();
    const { prove } = await proofFor(peer, await newIdentity());
    peer.send({ ...prove, ...field });
    expect(await refusal(peer)).toBe(code);
  });

  it('refuses a proof that was made for another connection', async () => {
    const [first, second] = [await open(), await open()];
    const { prove } = await proofFor(first, await newIdentity());
    second.send(prove);
    expect(await refusal(second)).toBe('bad-signature');
  });

  it.each([
    ['another message', JSON.stringify(offerOf())],
    ['no JSON', '{'],
    ['an unknown type', '{"type":"hello"}'],
    ['a prototype as type', '{"type":"__proto__"}'],
    ['an array', '[]'],
    ['null', 'null'],
  ])('refuses %s before the proof', async (_title, text) => {
    const peer = await open();
    peer.socket.send(text);
    expect(await refusal(peer)).toBe('bad-message');
  });

  it('refuses a relay frame before the proof', async () => {
    const peer = await open();
    peer.socket.send(new Uint8Array(64));
    expect(await refusal(peer)).toBe('bad-message');
  });

  it('reads no more than a proof takes of who has proven nothing', async () => {
    const peer = await open();
    const { prove } = await proofFor(peer, await newIdentity());
    peer.socket.send(`${JSON.stringify(prove)}${' '.repeat(4096)}`);
    expect(await refusal(peer)).toBe('too-large');
  });

  it('lets a peer come back to its sessions once on each connection', async () => {
    const peer = await connectPeer(server.url);
    opened.push(peer);
    for (let i = 0; i < 2; i++) peer.send({ type: 'resume', sessions: [] });
    expect(await refusal(peer)).toBe('bad-message');
  });

  it('refuses who says nothing', async () => {
    const clock = new FakeClock();
    const patient = await startTestServer({ clock });
    const peer = new RawPeer(patient.url);
    await peer.take('challenge');
    await clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect(await refusal(peer)).toBe('timeout');
    await patient.stop();
  });

  const hostile: [string, unknown][] = [
    ['a second proof', { type: 'prove', protocol: 1, publicKey: '', signature: '', nonce: '', kind: 'tab' }],
    ['an offer with an unknown field', { ...offerOf(), more: 1 }],
    ['an offer with a negative pledge', offerOf({ pledgeBytes: -1 })],
    ['an offer with a fraction of a slot', offerOf({ slots: 1.5 })],
    ['an offer of endless memory', { ...offerOf(), pledgeBytes: 1e400 }],
    [
      'an offer with too many held stages',
      offerOf({
        held: Array.from({ length: 9 }, () => ({
          model: 'a'.repeat(64),
          range: { start: 0, end: 1, embedding: true, head: false },
        })) as never,
      }),
    ],
    [
      'a route for an id that is no digest',
      {
        type: 'route',
        request: 1,
        model: '../x',
        capacity: 1,
        webrtc: false,
        policy: { shadows: 0, minStages: 1 },
        exclude: [],
      },
    ],
    [
      'a heartbeat with text for a number',
      { type: 'heartbeat', sessions: '0', tokens: 0, layerMs: null, hidden: false },
    ],
  ];
  it.each(hostile)('closes on %s', async (_title, message) => {
    const peer = await connectPeer(server.url);
    opened.push(peer);
    peer.socket.send(JSON.stringify(message));
    expect(await refusal(peer)).toBe('bad-message');
  });

  it('closes on a message above the size limit before reading it', async () => {
    const peer = await connectPeer(server.url);
    opened.push(peer);
    peer.socket.send(' '.repeat(MAX_CONTROL_MESSAGE_BYTES + 1));
    expect(await peer.closed()).toBe(1009);
  });

  it('closes on more messages than its rate allows', async () => {
    const peer = await connectPeer(server.url);
    opened.push(peer);
    for (let i = 0; i < 99; i++) peer.send({ type: 'heartbeat', sessions: 0, tokens: 0, layerMs: null, hidden: false });
    expect(await refusal(peer)).toBe('rate-limited');
  });

  it('closes the older of two sockets with one key', async () => {
    const first = await connectPeer(server.url);
    const second = await connectPeer(server.url, first.identity);
    opened.push(first, second);
    expect(await refusal(first)).toBe('replaced');
    expect(second.welcome.id).toBe(first.id);
    expect(second.welcome.peerToken).not.toBe(first.welcome.peerToken);
  });

  it.each([
    ['another site', 'https://evil.example', 403],
    ['a page without origin', 'null', 403],
  ])('is not opened for %s', async (_title, origin, status) => {
    const peer = new RawPeer(server.url, { origin });
    const [, response] = (await once(peer.socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(status);
    peer.socket.terminate();
  });

  it('is opened for the server’s own page', async () => {
    const peer = await open({ origin: server.url });
    expect((await peer.take('challenge')).type).toBe('challenge');
  });
});

describe('a peer whose code does not run any more', () => {
  const times = { heartbeatMs: 100, heartbeatTimeoutMs: 300 };
  let clock: FakeClock;
  let server: TestServer;

  beforeEach(async () => {
    clock = new FakeClock();
    server = await startTestServer({ clock, config: { times } });
  });
  afterEach(() => server.stop());

  /** One heartbeat of the server, which the peer's socket has taken in. */
  async function beat(peer: RawPeer): Promise<void> {
    const pinged = once(peer.socket, 'ping');
    await clock.advance(times.heartbeatMs);
    await pinged;
    await peer.heard();
  }

  it('is dropped while its socket answers pings, and its volunteer with it', async () => {
    const peer = await connectPeer(server.url);
    peer.send(offerOf());
    await peer.take('idle');
    expect(server.server.snapshot().volunteers).toHaveLength(1);
    peer.showsLife = false;
    for (let beats = 0; beats < 3; beats++) await beat(peer);
    expect(server.server.snapshot().volunteers).toHaveLength(1);
    await clock.advance(times.heartbeatMs);
    expect((await peer.take('error')).code).toBe('timeout');
    expect(server.server.snapshot().volunteers).toHaveLength(0);
  });

  it('is told from one that has nothing to say', async () => {
    const peer = await connectPeer(server.url);
    for (let beats = 0; beats < 6; beats++) await beat(peer);
    expect(peer.untaken).toEqual(
      Array.from({ length: 6 }, () => ({ type: 'alive', serverTimeMs: expect.any(Number) as number })),
    );
  });

  it('is welcome again under its key, and tried as if it had never been away', async () => {
    const gone = await connectPeer(server.url);
    gone.showsLife = false;
    await clock.advance(2 * (times.heartbeatMs + times.heartbeatTimeoutMs));
    expect((await gone.take('error')).code).toBe('timeout');
    const back = await connectPeer(server.url, gone.identity);
    back.send(offerOf());
    await back.take('idle');
    expect(server.server.snapshot().volunteers).toMatchObject([
      { id: gone.id, gate: 'open', trust: { suspendedUntilMs: null } },
    ]);
  });
});

describe('a volunteer that offers itself again and again', () => {
  it('is put on record once for each connection', async () => {
    const logged: string[] = [];
    const server = await startTestServer({ onLog: (line) => logged.push(line) });
    const peer = await connectPeer(server.url);
    for (let i = 0; i < 3; i++) {
      peer.send(offerOf());
      await peer.take('idle');
    }
    expect(logged.filter((line) => line.includes(peer.id))).toHaveLength(1);
    await server.stop();
  });
});

describe('the upgrade gate', () => {
  it('allows so many sockets per address and no more', async () => {
    const server = await startTestServer({ config: { limits: { connectionsPerAddress: 2 } } });
    const peers = [await connectPeer(server.url), await connectPeer(server.url)];
    const third = new RawPeer(server.url);
    const [, response] = (await once(third.socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(429);
    third.socket.terminate();
    await peers[0]!.close();
    await expect(connectPeer(server.url)).resolves.toBeDefined();
    await server.stop();
  });

  it('tells addresses apart by X-Forwarded-For only where a proxy is trusted', async () => {
    const trusting = await startTestServer({ config: { trustProxy: true, limits: { connectionsPerAddress: 1 } } });
    await connectPeer(trusting.url, undefined, { 'x-forwarded-for': '192.0.2.1' });
    await expect(connectPeer(trusting.url, undefined, { 'x-forwarded-for': '198.51.100.1' })).resolves.toBeDefined();
    await trusting.stop();
  });
});
