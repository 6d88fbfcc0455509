import { afterAll, beforeAll } from 'vitest';
import { WebSocket } from 'ws';
import { ServerClock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import { connectControl, type ControlClient } from '#shared/peer/control/control-client.ts';
import { adaptWebSocket } from '#shared/peer/control/socket.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import { startInProcessServer, type InProcessServer } from '../support/in-process-server.ts';
import { realClock } from '../support/real-clock.ts';
import { describeChannel, type ChannelPair } from './channel-contract.ts';
import { describeLink } from './link-contract.ts';

let server: InProcessServer;
beforeAll(async () => {
  server = await startInProcessServer();
});
afterAll(() => server.stop());

function connect(identity: Identity): Promise<ControlClient> {
  return connectControl({
    openSocket: () => adaptWebSocket(new WebSocket(`ws://127.0.0.1:${server.port}/control`)),
    identity,
    kind: 'cli',
    clock: new ServerClock(realClock),
    random: randomBytes,
    verify: verifySignature,
    signal: new AbortController().signal,
  });
}

async function openPair(a: Identity, b: Identity): Promise<ChannelPair> {
  const [atA, atB] = await Promise.all([connect(a), connect(b)]);
  const incoming = new Promise<Channel>((resolve) => {
    atB.relay.onIncoming = (_, channel) => resolve(channel);
  });
  const channel = atA.relay.open(b.id);
  return {
    a: channel,
    b: await incoming,
    release: () => {
      atA.close();
      atB.close();
      return Promise.resolve();
    },
  };
}

/** The server passes pieces where a channel was answered, which a handshake does by itself. */
async function openAnswered(a: Identity, b: Identity): Promise<ChannelPair> {
  const pair = await openPair(a, b);
  const answered = new Promise<void>((resolve) => (pair.a.onPiece = () => resolve()));
  pair.b.send(Uint8Array.of(0));
  await answered;
  pair.a.onPiece = () => undefined;
  return pair;
}

describeChannel('the relay', async () =>
  openAnswered(await identityOf(await generateKeyPair()), await identityOf(await generateKeyPair())),
);
describeLink('the relay', openPair);
