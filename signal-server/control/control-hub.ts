import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { addressPrefix } from '../gate/address.ts';
import type { DeskMessage, EdgeEnd, FromPeer, PeerAddress, ToPeer } from '../peer-router/control-router.ts';
import type { Metrics } from '../view/metrics.ts';
import type { ControlPeer, ControlSocketOwner } from './control-socket.ts';
import type { PeerMount } from './peer-mount.ts';
import type { RelayRouter } from './relay-router.ts';

/** A peer on the connection that it has now. */
export interface Connected {
  readonly peer: ControlPeer;
  readonly connection: number;
  /** Beats since it last showed life. */
  unansweredBeats: number;
}

export interface ControlHubDeps {
  readonly clock: Clock;
  readonly router: EdgeEnd;
  readonly relay: Pick<RelayRouter, 'route' | 'forget'>;
  readonly peerMount: Pick<PeerMount, 'drop'>;
  readonly metrics: Pick<Metrics, 'controlErrors'>;
}

/** The peers that are connected now: joins their sockets to the router, behind which the desks are. */
export class ControlHub implements ControlSocketOwner {
  readonly #peers: Map<PeerId, Connected>;
  readonly #deps: ControlHubDeps;
  #connections = 0;

  constructor(peers: Map<PeerId, Connected>, deps: ControlHubDeps) {
    this.#peers = peers;
    this.#deps = deps;
    deps.router.receive(
      (to, message) => this.#pass(to, message),
      (ended) => this.#lose(ended),
    );
  }

  onProven(peer: ControlPeer): void {
    const { router } = this.#deps;
    if (router.ended !== null) throw new ChorusError('server-lost', router.ended.message);
    const before = this.#peers.get(peer.id);
    if (before !== undefined) {
      this.#forget(before);
      before.peer.fail('replaced', 'another page or program connected with the same key');
    }
    this.#connections += 1;
    const connected = { peer, connection: this.#connections, unansweredBeats: 0 };
    this.#peers.set(peer.id, connected);
    const { kind, address, client } = peer;
    router.send(addressOf(connected), { type: 'joined', kind, prefix: addressPrefix(address), client });
  }

  onMessage(peer: ControlPeer, message: DeskMessage): void {
    const connected = this.#of(peer);
    if (connected !== undefined) this.#deps.router.send(addressOf(connected), message);
  }

  onFrame(peer: ControlPeer, frame: Uint8Array<ArrayBuffer>): void {
    if (this.#of(peer) !== undefined) this.#deps.relay.route(peer, frame);
  }

  onAlive(peer: ControlPeer): void {
    const connected = this.#of(peer);
    if (connected !== undefined) connected.unansweredBeats = 0;
  }

  onClosed(peer: ControlPeer | null, failure: Parameters<ControlSocketOwner['onClosed']>[1]): void {
    if (failure !== null) this.#deps.metrics.controlErrors.inc({ code: failure });
    const connected = peer === null ? undefined : this.#of(peer);
    if (connected !== undefined) this.#forget(connected);
  }

  /**
   * Lets every peer know that the server is there, and what time it is. Closes the sockets of those that have left `limit` such beats
   * unanswered: counting beats, not time, forgives a stall of this side.
   */
  beat(limit: number): void {
    const { clock } = this.#deps;
    for (const connected of [...this.#peers.values()]) {
      connected.unansweredBeats += 1;
      if (connected.unansweredBeats <= limit) {
        connected.peer.send({ type: 'alive', serverTimeMs: clock.wallMs() });
        continue;
      }
      this.#forget(connected, { type: 'left', silent: true });
      connected.peer.fail('timeout', 'no sign of life');
    }
  }

  #of(peer: ControlPeer): Connected | undefined {
    const connected = this.#peers.get(peer.id);
    return connected?.peer === peer ? connected : undefined;
  }

  /** The router brings nothing for a connection that has left, so the peer that is here is the one meant. */
  #pass({ id }: PeerAddress, message: ToPeer): void {
    const peer = this.#peers.get(id)?.peer;
    if (message.type === 'error') peer?.fail(message.code, message.message);
    else peer?.send(message);
  }

  /** Nobody here can be served any more; a peer that connects again may find the desks back. */
  #lose({ message }: ChorusError): void {
    for (const connected of [...this.#peers.values()]) {
      this.#forget(connected);
      connected.peer.fail('server-lost', message);
    }
  }

  #forget(connected: Connected, last: Extract<FromPeer, { type: 'left' }> = { type: 'left' }): void {
    const { id } = connected.peer;
    this.#peers.delete(id);
    this.#deps.relay.forget(id);
    this.#deps.peerMount.drop(id);
    this.#deps.router.send(addressOf(connected), last);
  }
}

function addressOf({ peer, connection }: Connected): PeerAddress {
  return { id: peer.id, connection };
}
