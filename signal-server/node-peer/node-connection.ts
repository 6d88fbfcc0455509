import { WebSocket } from 'ws';
import { ServerClock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { MAX_PEER_MESSAGE_BYTES } from '#shared/limits.ts';
import { connectControl, type ControlClient } from '#shared/peer/control/control-client.ts';
import { adaptWebSocket, type Socket } from '#shared/peer/control/socket.ts';
import { LinkPool } from '#shared/peer/link/link-pool.ts';
import { OWN_TOKEN_HEADER } from '../gate/own-token.ts';
import { systemClock, systemRandom as random } from '../machine/system-clock.ts';
import { serverApiAt } from './server-api.ts';

const OPENING_TIMEOUT_MS = 10_000;

/** A Node peer's connection to the server, and the links that the server relays for it: Node has no data channels. */
export interface NodePeer {
  readonly control: ControlClient;
  readonly links: LinkPool;
  /** By the server's time of day. */
  readonly clock: ServerClock;
  readonly close: () => void;
}

/** Rejects as `connectControl` does. */
export async function connectPeer(options: {
  readonly serverUrl: URL;
  readonly identity: Identity;
  readonly kind: 'anchor' | 'gateway' | 'cli';
  /** Shows a server that this is a part of its own process: its limits of one address are for others. */
  readonly ownToken?: string;
  /** Ends the connecting and the connection. */
  readonly signal: AbortSignal;
}): Promise<NodePeer> {
  const { serverUrl, identity, kind, ownToken, signal } = options;
  const openSocket = () => openControlSocket(serverUrl, ownToken);
  const clock = new ServerClock(systemClock);
  const whyNotOpened = serverApiAt(serverUrl).whyNoSocket;
  const control = await connectControl({ openSocket, whyNotOpened, identity, kind, clock, random, verify, signal });
  const links = new LinkPool({ identity, clock, random, verify, relay: control.relay, webrtc: null });
  return {
    control,
    links,
    clock,
    close() {
      links.close();
      control.close();
    },
  };
}

function openControlSocket(serverUrl: URL, ownToken: string | undefined): Socket {
  const url = new URL('/control', serverUrl);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const limits = { maxPayload: MAX_PEER_MESSAGE_BYTES, handshakeTimeout: OPENING_TIMEOUT_MS };
  const headers = ownToken === undefined ? {} : { [OWN_TOKEN_HEADER]: ownToken };
  return adaptWebSocket(new WebSocket(url, { perMessageDeflate: false, headers, ...limits }));
}
