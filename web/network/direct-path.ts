import type { Clock } from '#shared/clock.ts';
import type { ControlClient } from '#shared/peer/control/control-client.ts';
import type { LinkPool } from '#shared/peer/link/link-pool.ts';

/** A browser that makes connections at all has an offer ready in milliseconds. */
const OFFER_TIMEOUT_MS = 1_000;

export interface DirectPathDeps {
  readonly control: ControlClient;
  readonly links: LinkPool;
  /** Of the signal server, such as `location.origin`. */
  readonly serverUrl: string;
  readonly clock: Clock;
  /** True where this page is to talk through the server only. */
  readonly isRelayOnly: () => boolean;
}

/**
 * Has the links go directly where they may and can, or through the server only. There not so much as a connection object is
 * made, and the code that could make one is not loaded.
 */
export async function followPath({ links, isRelayOnly, ...deps }: DirectPathDeps): Promise<void> {
  if (isRelayOnly()) {
    if (links.isDirect) links.setDirect(null);
    return;
  }
  if (links.isDirect || !(await canConnectDirectly(deps.clock))) return;
  const { PeerJsTransport } = await import('./webrtc-transport.ts');
  const isWanted = !isRelayOnly() && !links.isDirect && deps.control.state.type !== 'closed';
  if (isWanted) links.setDirect(new PeerJsTransport(deps));
}

/**
 * True where the browser makes direct connections: one is made, as far as an offer that nobody is shown, and let go of. Policies and
 * extensions leave the constructor where it is and have it throw, or never answer; whoever dialled this page would wait in vain.
 */
export async function canConnectDirectly(clock: Clock): Promise<boolean> {
  let stopTimer = (): void => undefined;
  let connection: RTCPeerConnection | undefined;
  try {
    connection = new RTCPeerConnection();
    connection.createDataChannel('chorus');
    const late = new Promise<null>((resolve) => (stopTimer = clock.setTimer(() => resolve(null), OFFER_TIMEOUT_MS)));
    const offer = await Promise.race([connection.createOffer(), late]);
    return typeof offer?.sdp === 'string' && offer.sdp !== '';
  } catch {
    return false;
  } finally {
    stopTimer();
    connection?.close();
  }
}
