import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import { ServerClock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import {
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_TIMEOUT_MS,
  MAX_CONTROL_MESSAGE_BYTES,
  PROTOCOL_VERSION,
} from '#shared/limits.ts';
import { connectControl, type ControlClient, type ControlState } from '#shared/peer/control/control-client.ts';
import type { ControlDeps } from '#shared/peer/control/control-connection.ts';
import type { Socket } from '#shared/peer/control/socket.ts';
import { encodeRelayFrame } from '#shared/wire/codec/relay-frame.ts';
import { peerControlMessageSchema } from '#shared/wire/control-message.ts';
import { controlProofBytes } from '#shared/wire/control-proof.ts';
import { codeOf, codeOfAsync } from '../../../support/code-of.ts';
import { FakeClock, settle } from '../../../support/fake-clock.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

const [peer, server, stranger] = (await makeIdentities(3)) as [Identity, Identity, Identity];

const SERVER_TIME_MS = Date.UTC(2026, 5, 1);
const alive = { type: 'alive', serverTimeMs: SERVER_TIME_MS } as const;

/** One end of a socket, the other end being a server that answers as `FakeServer` is told. */
class FakeSocket implements Socket {
  readonly bufferedBytes = 0;
  onOpen = (): void => {};
  onMessage: (message: string | Uint8Array<ArrayBuffer>) => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly sent: unknown[] = [];
  readonly #onSend: (message: unknown) => void;
  isClosed = false;

  constructor(onSend: (socket: FakeSocket, message: unknown) => void) {
    this.#onSend = (message) => onSend(this, message);
  }

  send(message: string | Uint8Array<ArrayBuffer>): void {
    if (this.isClosed) throw new Error('closed');
    const received = typeof message === 'string' ? (JSON.parse(message) as unknown) : message;
    this.sent.push(received);
    this.#onSend(received);
  }

  say(message: object): void {
    this.onMessage(JSON.stringify(message));
  }

  close(): void {
    this.drop('closed');
  }

  drop(reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    queueMicrotask(() => this.onClose(reason));
  }
}

interface Answers {
  readonly identity?: Identity;
  readonly challenge?: object;
  readonly welcome?: object;
  /** Instead of the welcome. */
  readonly refuse?: object;
  readonly isSilent?: boolean;
}

class FakeServer {
  readonly sockets: FakeSocket[] = [];
  answers: Answers = {};
  isDown = false;

  readonly open = (): Socket => {
    const { identity = server, challenge, isSilent } = this.answers;
    const serverNonce = randomBytes(32);
    const socket = new FakeSocket((to, message) => void this.#answer(to, message, identity, serverNonce));
    this.sockets.push(socket);
    queueMicrotask(() => {
      if (this.isDown) return socket.drop('refused');
      if (isSilent) return;
      const keys = { nonce: toBase64(serverNonce), serverKey: toBase64(identity.publicKey) };
      socket.say({ type: 'challenge', protocol: PROTOCOL_VERSION, ...keys, ...challenge });
    });
    return socket;
  };

  get last(): FakeSocket {
    return this.sockets.at(-1) as FakeSocket;
  }

  async #answer(socket: FakeSocket, message: unknown, identity: Identity, serverNonce: Uint8Array): Promise<void> {
    const prove = peerControlMessageSchema.safeParse(message).data;
    if (prove?.type !== 'prove') return;
    const peerKey = fromBase64(prove.publicKey);
    const transcript = { serverKey: identity.publicKey, peerKey, serverNonce, peerNonce: fromBase64(prove.nonce) };
    const isProved = await verifySignature(peerKey, controlProofBytes('peer', transcript), fromBase64(prove.signature));
    if (!isProved) return socket.say({ type: 'error', code: 'bad-signature', message: 'not proved' });
    const signature = toBase64(await identity.sign(controlProofBytes('server', transcript)));
    const settings = { heartbeatMs: 2000, serverTimeMs: SERVER_TIME_MS, relayByDefault: false };
    const welcome = { type: 'welcome', id: peer.id, signature, peerToken: 'token', iceServers: [], ...settings };
    socket.say(this.answers.refuse ?? { ...welcome, ...this.answers.welcome });
  }
}

function connect(
  fake: FakeServer,
  clock = new FakeClock(),
  signal = new AbortController().signal,
  expectedServerKey?: Uint8Array<ArrayBuffer>,
  serverClock = new ServerClock(clock),
  more: Pick<ControlDeps, 'whyNotOpened'> = {},
) {
  return connectControl({
    ...more,
    openSocket: fake.open,
    identity: peer,
    kind: 'cli',
    clock: serverClock,
    random: randomBytes,
    verify: verifySignature,
    signal,
    ...(expectedServerKey === undefined ? {} : { expectedServerKey }),
  });
}

function watch(client: ControlClient): ControlState[] {
  const states: ControlState[] = [];
  client.onState((state) => states.push(state));
  return states;
}

function untilState(client: ControlClient, type: ControlState['type']): Promise<ControlState> {
  return new Promise((resolve) => {
    const stop = client.onState((state) => {
      if (state.type !== type) return;
      stop();
      resolve(state);
    });
  });
}

describe('the control client', () => {
  it('proves its key, and has the server prove its own', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const client = await connect(fake, clock);
    expect(client.state).toEqual({ type: 'open' });
    expect(client.serverKey).toEqual(server.publicKey);
    expect(client.welcome.peerToken).toBe('token');
    expect(clock.pendingTimers).toBe(1);
    client.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it('takes a server that has gone silent for lost, and one that says it is alive for there', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const client = await connect(fake, clock);
    for (let i = 0; i < 5; i++) {
      await clock.advance(HEARTBEAT_TIMEOUT_MS / 2);
      fake.last.say(alive);
    }
    expect(client.state.type).toBe('open');
    await clock.advance(HEARTBEAT_TIMEOUT_MS);
    expect(client.state).toMatchObject({ type: 'reconnecting', reason: 'the server has gone silent' });
    expect(fake.last.isClosed).toBe(true);
  });

  it('answers each sign of life with one of its own, which a frozen page would not', async () => {
    const fake = new FakeServer();
    await connect(fake);
    fake.last.say(alive);
    fake.last.say(alive);
    expect(fake.last.sent.slice(1)).toEqual([{ type: 'alive' }, { type: 'alive' }]);
  });

  it('leaves it to the close of a socket to say why it takes nothing any more', async () => {
    const fake = new FakeServer();
    const client = await connect(fake);
    fake.last.isClosed = true;
    fake.last.say(alive);
    expect(client.state).toEqual({ type: 'open' });
    fake.last.say({ type: 'error', code: 'timeout', message: 'no sign of life' });
    expect(client.state).toMatchObject({ type: 'reconnecting', reason: 'no sign of life' });
  });

  it('keeps to the time of day that the server says, at the welcome and later', async () => {
    const fake = new FakeServer();
    const own = new FakeClock(Date.UTC(2001, 0, 1));
    const clock = new ServerClock(own);
    await connect(fake, own, undefined, undefined, clock);
    expect(clock.wallMs()).toBe(SERVER_TIME_MS);
    await own.advance(1000);
    expect(clock.wallMs()).toBe(SERVER_TIME_MS + 1000);
    fake.last.say({ ...alive, serverTimeMs: SERVER_TIME_MS + 60_000 });
    expect(clock.wallMs()).toBe(SERVER_TIME_MS + 60_000);
    expect(clock.aheadMs).toBe(own.wallMs() - SERVER_TIME_MS - 60_000);
  });

  it.each([
    ['another server key than before', 'wrong-peer', { identity: stranger }],
    [
      'a server without the key it shows',
      'bad-signature',
      { identity: { ...server, sign: (m: Uint8Array<ArrayBuffer>) => stranger.sign(m) } },
    ],
    ['another version', 'protocol-version', { challenge: { protocol: PROTOCOL_VERSION + 1 } }],
    ['a nonce of another size', 'bad-message', { challenge: { nonce: 'AAAA' } }],
    ['a key of another size', 'bad-message', { challenge: { serverKey: 'AAAA' } }],
    ['an unknown field', 'bad-message', { challenge: { more: 1 } }],
    ['a welcome for somebody else', 'bad-message', { welcome: { id: stranger.id } }],
    ['a time that no calendar has', 'bad-message', { welcome: { serverTimeMs: 1e17 } }],
    ['a time that is text', 'bad-message', { welcome: { serverTimeMs: '0' } }],
    ['a welcome out of turn', 'bad-message', { challenge: { type: 'idle', reason: '' } }],
    ['a refusal', 'rate-limited', { refuse: { type: 'error', code: 'rate-limited', message: 'slow down' } }],
  ] as [string, string, Answers][])('does not connect to %s: %s', async (_, code, answers) => {
    const fake = new FakeServer();
    fake.answers = answers;
    const signal = new AbortController().signal;
    expect(await codeOfAsync(connect(fake, new FakeClock(), signal, server.publicKey))).toBe(code);
    expect(fake.last.isClosed).toBe(true);
  });

  it('says why the server took no socket, where that can be told on another way', async () => {
    const fake = new FakeServer();
    fake.isDown = true;
    const asked = (whyNotOpened: NonNullable<ControlDeps['whyNotOpened']>) =>
      connect(fake, new FakeClock(), new AbortController().signal, undefined, undefined, { whyNotOpened });
    const why = new ChorusError('rate-limited', 'too many connections from this network address');
    await expect(asked(() => Promise.resolve(why))).rejects.toBe(why);
    expect(await codeOfAsync(asked(() => Promise.resolve(null)))).toBe('server-lost');
    expect(await codeOfAsync(asked(() => Promise.reject(new TypeError('no network'))))).toBe('server-lost');
  });

  it('does not wait for that longer than for a server, nor where a socket did open', async () => {
    const fake = new FakeServer();
    fake.isDown = true;
    const clock = new FakeClock();
    const { signal } = new AbortController();
    const waiting = codeOfAsync(
      connect(fake, clock, signal, undefined, undefined, { whyNotOpened: () => new Promise(() => undefined) }),
    );
    await clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect(await waiting).toBe('timeout');
    fake.isDown = false;
    fake.answers = { refuse: { type: 'error', code: 'rate-limited', message: 'slow down' } };
    let isAsked = false;
    const whyNotOpened = () => Promise.resolve((isAsked = true)).then(() => null);
    expect(await codeOfAsync(connect(fake, clock, signal, undefined, undefined, { whyNotOpened }))).toBe(
      'rate-limited',
    );
    expect(isAsked).toBe(false);
  });

  it('rejects when there is no server, when it says nothing and when it is no longer wanted', async () => {
    const fake = new FakeServer();
    fake.isDown = true;
    expect(await codeOfAsync(connect(fake))).toBe('server-lost');
    fake.isDown = false;
    fake.answers = { isSilent: true };
    const clock = new FakeClock();
    const silent = codeOfAsync(connect(fake, clock));
    await clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect(await silent).toBe('timeout');
    const controller = new AbortController();
    const unwanted = codeOfAsync(connect(fake, clock, controller.signal));
    controller.abort();
    expect(await unwanted).toBe('cancelled');
  });

  it('passes messages on, those included that follow the welcome at once', async () => {
    const fake = new FakeServer();
    const client = await connect(fake);
    const received: unknown[] = [];
    client.onMessage((message) => received.push(message));
    fake.last.say({ type: 'idle', reason: 'nothing to do' });
    expect(received).toEqual([{ type: 'idle', reason: 'nothing to do' }]);
  });

  it('sends what it is given, and nothing above the limit', async () => {
    const fake = new FakeServer();
    const client = await connect(fake);
    client.send({ type: 'pause' });
    expect(fake.last.sent.at(-1)).toEqual({ type: 'pause' });
    const message = 'x'.repeat(MAX_CONTROL_MESSAGE_BYTES);
    expect(codeOf(() => client.send({ type: 'failed', assignment: 1, code: 'internal', message }))).toBe('too-large');
  });

  it('reconnects with growing delays, and says so', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const client = await connect(fake, clock);
    const states = watch(client);
    fake.isDown = true;
    fake.last.drop('the cable is out');
    for (let i = 0; i < 8; i++) {
      await settle();
      await clock.advance(clock.nextDelayMs ?? 0);
    }
    const delays = states.flatMap((state) => (state.type === 'reconnecting' ? [state.delayMs] : []));
    expect(delays.length).toBeGreaterThanOrEqual(8);
    delays.slice(0, 8).forEach((delayMs, i) => {
      const fullMs = Math.min(30_000, 500 * 2 ** i);
      expect(delayMs).toBeGreaterThanOrEqual(fullMs / 2);
      expect(delayMs).toBeLessThanOrEqual(fullMs);
    });
    expect(states[0]).toMatchObject({ type: 'reconnecting', attempt: 1, reason: 'the cable is out' });
    expect(codeOf(() => client.send({ type: 'pause' }))).toBe('server-lost');
    fake.isDown = false;
    const opened = untilState(client, 'open');
    await clock.advance(clock.nextDelayMs ?? 0);
    await opened;
    client.send({ type: 'pause' });
    expect(fake.last.sent.at(-1)).toEqual({ type: 'pause' });
  });

  it('starts with a short delay again after a connection that held', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const client = await connect(fake, clock);
    const hold = async (heldMs: number): Promise<void> => {
      for (let ms = 0; ms < heldMs; ms += 2000) {
        fake.last.say(alive);
        await clock.advance(2000);
      }
    };
    for (const heldMs of [0, 0, 60_000]) {
      await hold(heldMs);
      const lost = untilState(client, 'reconnecting');
      fake.last.drop('gone');
      const state = await lost;
      const opened = untilState(client, 'open');
      await clock.advance(state.type === 'reconnecting' ? state.delayMs : 0);
      await opened;
    }
    const states = watch(client);
    await hold(60_000);
    fake.last.drop('gone');
    await settle();
    expect(states[0]).toMatchObject({ attempt: 1 });
  });

  it('ends, with the reason, when the server comes back with another key', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const client = await connect(fake, clock);
    const closed = untilState(client, 'closed');
    fake.answers = { identity: stranger };
    fake.last.drop('restart');
    await clock.advance(1000);
    expect(await closed).toMatchObject({ code: 'wrong-peer' });
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ['text that is no message', 'nonsense'],
    ['a second welcome', JSON.stringify({ type: 'challenge', protocol: 1, nonce: '', serverKey: '' })],
    ['a text above the limit', ' '.repeat(MAX_CONTROL_MESSAGE_BYTES + 1)],
    ['a relay frame that is none', Uint8Array.of(1, 2, 3)],
  ])('drops a connection that brings %s', async (_, message) => {
    const fake = new FakeServer();
    const client = await connect(fake);
    fake.last.onMessage(message);
    expect(client.state.type).toBe('reconnecting');
    expect(fake.last.isClosed).toBe(true);
    client.close();
  });

  it('ends relayed channels with the connection', async () => {
    const fake = new FakeServer();
    const client = await connect(fake);
    const channel = client.relay.open(stranger.id);
    const reasons: string[] = [];
    channel.onClose = (reason) => reasons.push(reason);
    fake.last.drop('gone');
    await settle();
    expect(reasons).toEqual(['the connection to the server is lost']);
    client.close();
  });

  it('hands relay frames to the relay', async () => {
    const fake = new FakeServer();
    const client = await connect(fake);
    const from: string[] = [];
    client.relay.onIncoming = (id) => from.push(id);
    fake.last.onMessage(encodeRelayFrame({ peer: stranger.id, channel: peer.id < stranger.id ? 1 : 0, op: 'open' }));
    expect(from).toEqual([stranger.id]);
  });

  it('stays closed once it is closed, by a call or by its signal', async () => {
    const fake = new FakeServer();
    const clock = new FakeClock();
    const controller = new AbortController();
    const [one, two] = [await connect(fake, clock), await connect(fake, clock, controller.signal)];
    one.close();
    controller.abort();
    await clock.advance(60_000);
    expect([one.state.type, two.state.type]).toEqual(['closed', 'closed']);
    expect(fake.sockets.every(({ isClosed }) => isClosed)).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });
});
