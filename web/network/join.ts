import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { connectControl, type ControlClient, type ControlState } from '#shared/peer/control/control-client.ts';
import { adaptWebSocket } from '#shared/peer/control/socket.ts';
import { LinkPool, type TransportNotice } from '#shared/peer/link/link-pool.ts';
import type { Link } from '#shared/peer/link/link.ts';
import { Requester } from '#shared/peer/requester/requester.ts';
import { openIdentity, type IdentityDeps } from '../browser/identity.ts';
import { hasWebRtc, PeerJsTransport } from './webrtc-transport.ts';

export interface JoinDeps {
  /** Of the signal server, such as `location.origin`. */
  readonly serverUrl: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Of the key. */
  readonly storage: IdentityDeps;
  readonly onState: (state: ControlState) => void;
  readonly onTransport: (notice: TransportNotice) => void;
  readonly onLink: (link: Link) => void;
}

/** This tab among its peers: one key, one control socket, one pool of links for asking and volunteering alike. */
export interface Joined {
  readonly identity: Identity;
  readonly control: ControlClient;
  readonly links: LinkPool;
  readonly requester: Requester;
  /** False where only the relay reaches this tab. */
  readonly webrtc: boolean;
}

/**
 * Connects to the signal server and stays connected until it says `closed`. Rejects as `openIdentity` and
 * `connectControl` do.
 */
export async function joinNetwork(deps: JoinDeps): Promise<Joined> {
  const { serverUrl, clock, random } = deps;
  const own = await openIdentity(deps.storage);
  const { identity } = own;
  const ending = new AbortController();
  let control: ControlClient;
  try {
    const openSocket = () => adaptWebSocket(new WebSocket(controlUrl(serverUrl)));
    control = await connectControl({ openSocket, identity, kind: 'tab', clock, random, verify, signal: ending.signal });
  } catch (error) {
    own.release();
    throw error;
  }
  const transport = hasWebRtc() ? new PeerJsTransport({ control, serverUrl, clock }) : null;
  const links = new LinkPool({ identity, clock, random, verify, relay: control.relay, webrtc: transport });
  const webrtc = transport !== null;
  const requester = new Requester({ control, links, identity, clock, random, verify, webrtc });
  links.onTransport(deps.onTransport);
  links.onLink(deps.onLink);
  control.onState((state) => {
    deps.onState(state);
    if (state.type !== 'closed') return;
    requester.close();
    links.close();
    own.release();
  });
  deps.onState(control.state);
  return { identity, control, links, requester, webrtc };
}

function controlUrl(serverUrl: string): URL {
  const url = new URL('/control', serverUrl);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}
