import type { PeerId } from '#shared/ids.ts';
import type { PeerControlMessage, ServerMessage } from '#shared/wire/control-message.ts';
import type { ReplayDesk } from '../desks/replay-desk.ts';
import type { ReportDesk } from '../desks/report-desk.ts';
import type { RouteDesk } from '../desks/route-desk.ts';
import type { VolunteerDesk } from '../desks/volunteer-desk.ts';
import { addressPrefix } from '../gate/address.ts';
import type { PeerKind, Registry } from '../placement/registry.ts';
import type { Metrics } from '../view/metrics.ts';
import type { ControlPeer, ControlSocketOwner } from './control-socket.ts';
import type { PeerMount } from './peer-mount.ts';
import type { RelayRouter } from './relay-router.ts';

export interface ControlHubDeps {
  readonly registry: Registry;
  readonly volunteers: VolunteerDesk;
  readonly routes: RouteDesk;
  readonly replays: ReplayDesk;
  readonly reports: ReportDesk;
  readonly relay: RelayRouter;
  readonly peerMount: Pick<PeerMount, 'drop'>;
  readonly metrics: Pick<Metrics, 'controlErrors'>;
  /** True for the keys of the server's own anchors and gateway. */
  readonly isOwn: (id: PeerId) => boolean;
  /** A peer has offered itself as a volunteer, for the first time on this connection. */
  readonly onVolunteer: (id: PeerId, kind: PeerKind) => void;
}

/** The peers that are connected now: joins their sockets to the desks. */
export class ControlHub implements ControlSocketOwner {
  readonly #peers: Map<PeerId, ControlPeer>;
  readonly #deps: ControlHubDeps;
  readonly #volunteers = new WeakSet<ControlPeer>();

  constructor(peers: Map<PeerId, ControlPeer>, deps: ControlHubDeps) {
    this.#peers = peers;
    this.#deps = deps;
  }

  onProven(peer: ControlPeer): void {
    const before = this.#peers.get(peer.id);
    if (before !== undefined) {
      this.#forget(before);
      before.fail('replaced', 'another page or program connected with the same key');
    }
    this.#peers.set(peer.id, peer);
    this.#deps.registry.join(peer.id, this.#kindOf(peer), addressPrefix(peer.address));
  }

  onMessage(peer: ControlPeer, message: Exclude<PeerControlMessage, { type: 'prove' }>): void {
    const member = this.#deps.registry.get(peer.id);
    if (member === undefined || this.#peers.get(peer.id) !== peer) return;
    switch (message.type) {
      case 'route':
      case 'abandon':
      case 'release':
      case 'rest':
      case 'resume':
        this.#deps.routes.receive(member, message);
        return;
      case 'replay':
        this.#deps.replays.receive(member, message);
        return;
      case 'report':
        this.#deps.reports.receive(member, message);
        return;
      case 'offer':
        if (!this.#volunteers.has(peer)) this.#deps.onVolunteer(member.id, member.kind);
        this.#volunteers.add(peer);
        this.#deps.volunteers.receive(member, message);
        return;
      default:
        this.#deps.volunteers.receive(member, message);
    }
  }

  onFrame(peer: ControlPeer, frame: Uint8Array<ArrayBuffer>): void {
    if (this.#peers.get(peer.id) === peer) this.#deps.relay.route(peer, frame);
  }

  onAlive(peer: ControlPeer): void {
    if (this.#peers.get(peer.id) === peer) this.#deps.registry.touch(peer.id);
  }

  onClosed(peer: ControlPeer | null, failure: Parameters<ControlSocketOwner['onClosed']>[1]): void {
    if (failure !== null) this.#deps.metrics.controlErrors.inc({ code: failure });
    if (peer !== null && this.#peers.get(peer.id) === peer) this.#forget(peer);
  }

  /** Closes the sockets of those that have been silent for too long. */
  dropSilent(timeoutMs: number): void {
    for (const id of this.#deps.registry.silent(timeoutMs)) {
      const peer = this.#peers.get(id);
      if (peer === undefined) continue;
      this.#forget(peer);
      peer.fail('timeout', 'no sign of life');
    }
  }

  /** Lets every peer know that the server is there. */
  sayAlive(): void {
    for (const peer of this.#peers.values()) peer.send({ type: 'alive' });
  }

  /** Anybody can say that it is an anchor; only the keys that we made are. */
  #kindOf({ id, kind }: ControlPeer): PeerKind {
    return (kind === 'anchor' || kind === 'gateway') && !this.#deps.isOwn(id) ? 'cli' : kind;
  }

  #forget(peer: ControlPeer): void {
    this.#peers.delete(peer.id);
    this.#deps.registry.leave(peer.id);
    this.#deps.relay.forget(peer.id);
    this.#deps.peerMount.drop(peer.id);
    this.#deps.routes.left(peer.id);
    this.#deps.volunteers.left();
  }
}

/** A sender to whoever is connected under an id; messages to the absent are dropped, their leaving is dealt with elsewhere. */
export function sendThrough(peers: ReadonlyMap<PeerId, ControlPeer>): (to: PeerId, message: ServerMessage) => void {
  return (to, message) => peers.get(to)?.send(message);
}
