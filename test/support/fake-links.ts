import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { Link, Links } from '#shared/peer/link/link.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';

/** The fate of one message: when it arrives, once for each number. No number loses it. */
export type Fate = (message: PeerMessage, from: PeerId, to: PeerId) => readonly number[];

/** Links between any number of peers under a fake clock, with messages delayed, lost, doubled and reordered at will. */
export class FakeNetwork {
  readonly clock: Clock;
  /** By default every message takes 1 ms, in order. */
  fate: Fate = () => [1];
  /** The messages that a dishonest peer sends in place of one. */
  rewrite: (message: PeerMessage, from: PeerId, to: PeerId) => PeerMessage = (message) => message;
  /** Peers whose links never come about, nor fail before their time. */
  readonly unreachable = new Set<PeerId>();
  /** Every message that was sent. */
  readonly log: { readonly from: PeerId; readonly to: PeerId; readonly message: PeerMessage }[] = [];
  readonly #peers = new Map<PeerId, FakeLinks>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  join(id: PeerId): FakeLinks {
    const links = new FakeLinks(id, this);
    this.#peers.set(id, links);
    return links;
  }

  /** The peer is gone: its links close, and nobody reaches it. */
  kill(id: PeerId): void {
    const links = this.#peers.get(id);
    this.#peers.delete(id);
    links?.closeAll();
  }

  peer(id: PeerId): FakeLinks | undefined {
    return this.#peers.get(id);
  }
}

export class FakeLinks implements Links {
  readonly id: PeerId;
  readonly #network: FakeNetwork;
  readonly #links = new Map<PeerId, FakeLink>();
  readonly #listeners = new Set<(link: Link) => void>();

  constructor(id: PeerId, network: FakeNetwork) {
    this.id = id;
    this.#network = network;
  }

  connect(peer: PeerId, { signal }: { webrtc: boolean; signal: AbortSignal }): Promise<Link> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new ChorusError('cancelled', 'no longer wanted')));
      if (this.#network.unreachable.has(peer)) return;
      this.#network.clock.setTimer(() => {
        const other = this.#network.peer(peer);
        if (other === undefined) return reject(new ChorusError('link-lost', 'nobody there'));
        const open = this.#links.get(peer);
        if (open !== undefined) return resolve(open);
        const [near, far] = [new FakeLink(this.id, peer, this.#network), new FakeLink(peer, this.id, this.#network)];
        near.other = far;
        far.other = near;
        this.#add(near);
        other.#add(far);
        resolve(near);
      }, 1);
    });
  }

  onLink(listener: (link: Link) => void): () => void {
    this.#listeners.add(listener);
    for (const link of this.#links.values()) queueMicrotask(() => listener(link));
    return () => this.#listeners.delete(listener);
  }

  closeAll(): void {
    for (const link of [...this.#links.values()]) link.close('gone');
  }

  /** Closes the link to `peer`, at both ends. */
  cutTo(peer: PeerId): void {
    this.#links.get(peer)?.close('cut');
  }

  #add(link: FakeLink): void {
    this.#links.set(link.peer, link);
    link.onClose(() => this.#links.delete(link.peer));
    for (const listener of [...this.#listeners]) listener(link);
  }
}

class FakeLink implements Link {
  readonly peer: PeerId;
  readonly transport = 'webrtc';
  readonly roundTripMs = 2;
  readonly traffic = { sentBytes: 0, receivedBytes: 0 };
  other: FakeLink | undefined;
  isClosed = false;
  readonly #self: PeerId;
  readonly #network: FakeNetwork;
  readonly #messageListeners = new Set<(message: PeerMessage) => void>();
  readonly #closeListeners = new Set<(reason: string) => void>();

  constructor(self: PeerId, peer: PeerId, network: FakeNetwork) {
    this.#self = self;
    this.peer = peer;
    this.#network = network;
  }

  async send(message: PeerMessage): Promise<void> {
    if (this.isClosed) throw new ChorusError('link-lost', 'closed');
    const bytes = encodePeerMessage(this.#network.rewrite(message, this.#self, this.peer));
    this.#network.log.push({ from: this.#self, to: this.peer, message });
    for (const delayMs of this.#network.fate(message, this.#self, this.peer)) {
      this.#network.clock.setTimer(() => {
        if (!this.isClosed && this.other !== undefined) this.other.#receive(decodePeerMessage(bytes));
      }, delayMs);
    }
  }

  #receive(message: PeerMessage): void {
    for (const listener of [...this.#messageListeners]) listener(message);
  }

  onMessage(listener: (message: PeerMessage) => void): () => void {
    this.#messageListeners.add(listener);
    return () => this.#messageListeners.delete(listener);
  }

  onClose(listener: (reason: string) => void): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  close(reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const listener of [...this.#closeListeners]) listener(reason);
    this.other?.close(reason);
  }
}
