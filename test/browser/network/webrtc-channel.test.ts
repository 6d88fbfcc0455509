import { expect, inject, it } from 'vitest';
import { ServerClock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import type { PeerId } from '#shared/ids.ts';
import { connectControl, type ControlClient } from '#shared/peer/control/control-client.ts';
import { adaptWebSocket } from '#shared/peer/control/socket.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import { createLinkPool, type TransportNotice } from '#shared/peer/link/link-pool.ts';
import type { Link } from '#shared/peer/link/link.ts';
import { PeerJsTransport } from '../../../web/network/webrtc-transport.ts';
import { describeChannel, type ChannelPair } from '../../contract/channel-contract.ts';
import { describeLink } from '../../contract/link-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { realClock } from '../../support/real-clock.ts';

const serverUrl = inject('signalServerUrl');
const forever = new AbortController().signal;

interface Side {
  readonly identity: Identity;
  readonly control: ControlClient;
  readonly transport: PeerJsTransport;
}

async function join(identity: Identity): Promise<Side> {
  const control = await connectControl({
    openSocket: () => adaptWebSocket(new WebSocket(`${serverUrl.replace('http', 'ws')}/control`)),
    identity,
    kind: 'tab',
    clock: new ServerClock(realClock),
    random: randomBytes,
    verify: verifySignature,
    signal: forever,
  });
  return { identity, control, transport: new PeerJsTransport({ control, serverUrl, clock: realClock }) };
}

async function stranger(): Promise<Identity> {
  return identityOf(await generateKeyPair());
}

function leave(...sides: Side[]): void {
  for (const { control, transport } of sides) {
    transport.close();
    control.close();
  }
}

async function openPair(a: Identity, b: Identity): Promise<ChannelPair> {
  const [atA, atB] = await Promise.all([join(a), join(b)]);
  await introduced(atB);
  const incoming = new Promise<Channel>((resolve) => {
    atB.transport.onIncoming = (_, channel) => resolve(channel);
  });
  const [channelA, channelB] = await Promise.all([atA.transport.connect(b.id, forever), incoming]);
  return {
    a: channelA,
    b: channelB,
    release: () => {
      leave(atA, atB);
      return Promise.resolve();
    },
  };
}

/** A dial to nobody is answered only once the server has introduced this side. */
async function introduced({ transport }: Side): Promise<void> {
  await codeOfAsync(transport.connect('0'.repeat(64) as PeerId, forever));
}

describeChannel('WebRTC', async () => openPair(await stranger(), await stranger()));
describeLink('WebRTC', openPair);

it('a dial to a peer that is not here fails at once', async () => {
  const side = await join(await stranger());
  const tookMs: number[] = [];
  for (let dial = 0; dial < 3; dial++) {
    const startedAtMs = performance.now();
    expect(await codeOfAsync(side.transport.connect('ab'.repeat(32) as PeerId, forever))).toBe('link-lost');
    tookMs.push(performance.now() - startedAtMs);
  }
  // PeerJS by itself lets no dial to nobody fail before its offer has waited for 5 s; one that the machine holds up is late too.
  expect(Math.min(...tookMs)).toBeLessThan(4000);
  leave(side);
});

it('a dial that is given up leaves nothing behind', async () => {
  const [a, b] = await Promise.all([join(await stranger()), join(await stranger())]);
  const controller = new AbortController();
  const dial = codeOfAsync(a.transport.connect(b.identity.id, controller.signal));
  controller.abort();
  expect(await dial).toBe('cancelled');
  leave(a, b);
});

/** Two whole peers that link through pools, as pages do. */
async function pooled(side: Side, webrtc: boolean) {
  const pool = createLinkPool({
    identity: side.identity,
    clock: realClock,
    random: randomBytes,
    verify: verifySignature,
    relay: side.control.relay,
    webrtc: webrtc ? side.transport : null,
  });
  const notices: TransportNotice[] = [];
  pool.onTransport((notice) => notices.push(notice));
  const incoming = new Promise<Link>((resolve) => pool.onLink(resolve));
  if (webrtc) await introduced(side);
  return { pool, notices, incoming };
}

it('two pages get a direct link, and both know that it is direct', async () => {
  const [a, b] = await Promise.all([join(await stranger()), join(await stranger())]);
  const [atA, atB] = await Promise.all([pooled(a, true), pooled(b, true)]);
  const link = await atA.pool.connect(b.identity.id, { webrtc: true, signal: forever });
  expect([link.transport, (await atB.incoming).transport]).toEqual(['webrtc', 'webrtc']);
  expect(atA.notices).toEqual([{ peer: b.identity.id, transport: 'webrtc', reason: null }]);
  expect(await atA.pool.connect(b.identity.id, { webrtc: true, signal: forever })).toBe(link);
  atA.pool.close();
  atB.pool.close();
  leave(a, b);
});

it('the relay takes over for a page without data channels, and says why', async () => {
  const [a, b] = await Promise.all([join(await stranger()), join(await stranger())]);
  b.transport.close();
  const [atA, atB] = await Promise.all([pooled(a, true), pooled(b, false)]);
  const link = await atA.pool.connect(b.identity.id, { webrtc: true, signal: forever });
  expect(link.transport).toBe('relay');
  expect(atA.notices[0]?.reason).toBeTruthy();
  atA.pool.close();
  atB.pool.close();
  leave(a, b);
});

it('a direct link outlives the loss of the control socket, and the next one is introduced anew', async () => {
  const identity = await stranger();
  let socket: WebSocket | undefined;
  const control = await connectControl({
    openSocket: () => adaptWebSocket((socket = new WebSocket(`${serverUrl.replace('http', 'ws')}/control`))),
    identity,
    kind: 'tab',
    clock: new ServerClock(realClock),
    random: randomBytes,
    verify: verifySignature,
    signal: forever,
  });
  const a = { identity, control, transport: new PeerJsTransport({ control, serverUrl, clock: realClock }) };
  const b = await join(await stranger());
  await introduced(b);
  const received = new Promise<number[]>((resolve) => {
    const pieces: number[] = [];
    b.transport.onIncoming = (_, channel) => {
      channel.onPiece = (piece) => {
        if (pieces.push(piece[0] as number) === 2) resolve(pieces.sort());
      };
    };
  });
  const first = await a.transport.connect(b.identity.id, forever);
  const reopened = new Promise<void>((resolve) => control.onState(({ type }) => type === 'open' && resolve()));
  socket?.close();
  await reopened;
  const second = await a.transport.connect(b.identity.id, forever);
  first.send(Uint8Array.of(1));
  second.send(Uint8Array.of(2));
  expect(await received).toEqual([1, 2]);
  leave(a, b);
});
