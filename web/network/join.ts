import type { RandomBytes, ServerClock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { connectControl, type ControlClient, type ControlState } from '#shared/peer/control/control-client.ts';
import { adaptWebSocket } from '#shared/peer/control/socket.ts';
import { LinkPool, type TransportNotice } from '#shared/peer/link/link-pool.ts';
import type { Link } from '#shared/peer/link/link.ts';
import { Requester } from '#shared/peer/requester/requester.ts';
import { openIdentity, type IdentityDeps } from '../browser/identity.ts';
import { whyNoSocket } from './api.ts';
import { followPath } from './direct-path.ts';

export interface JoinDeps {
  /** Of the signal server, such as `location.origin`. */
  readonly serverUrl: string;
  readonly clock: ServerClock;
  readonly random: RandomBytes;
  /** True where this page is to talk through the server only. */
  readonly isRelayOnly: () => boolean;
  /** Called with each welcome, before anything else is done with the connection. */
  readonly onWelcome: (welcome: ControlClient['welcome']) => void;
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
  /** To be called when `isRelayOnly` has come to say something else. Never rejects. */
  followPath(): Promise<void>;
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
    const attempt = { openSocket, whyNotOpened: whyNoSocket, signal: ending.signal };
    control = await connectControl({ ...attempt, identity, kind: 'tab', clock, random, verify });
  } catch (error) {
    own.release();
    throw error;
  }
  deps.onWelcome(control.welcome);
  const links = new LinkPool({ identity, clock, random, verify, relay: control.relay, webrtc: null });
  const requester = new Requester({
    ...{ control, links, identity, clock, random, verify, asksDraws: true },
    get webrtc() {
      return links.isDirect;
    },
  });
  // Without direct connections there is still the relay.
  const follow = () =>
    followPath({ control, links, serverUrl, clock, isRelayOnly: deps.isRelayOnly }).catch(() => undefined);
  links.onTransport(deps.onTransport);
  links.onLink(deps.onLink);
  control.onState((state) => {
    if (state.type === 'open') {
      deps.onWelcome(control.welcome);
      void follow();
    }
    deps.onState(state);
    if (state.type !== 'closed') return;
    requester.close();
    links.close();
    own.release();
  });
  await follow();
  deps.onState(control.state);
  return { identity, control, links, requester, followPath: follow };
}

function controlUrl(serverUrl: string): URL {
  const url = new URL('/control', serverUrl);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}
