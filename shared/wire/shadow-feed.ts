import type { PeerId } from '../ids.ts';
import { Backlog, messageBytes } from './backlog.ts';
import type { PeerMessage } from './peer-message.ts';

interface Outgoing {
  readonly to: PeerId;
  readonly message: PeerMessage;
}

/** Sends the shadows of a stage every message that its primary gets, from the first on, and waits for none of them. */
export class ShadowFeed {
  /** Messages that wait for the link; null once it is open. */
  readonly #shadows: Map<PeerId, PeerMessage[] | null>;
  readonly #backlog = new Backlog();

  constructor(shadows: readonly PeerId[]) {
    this.#shadows = new Map(shadows.map((shadow) => [shadow, []]));
  }

  has(peer: PeerId): boolean {
    return this.#shadows.has(peer);
  }

  /** The messages that waited for the link to `peer`, which is open now. */
  connected(peer: PeerId): Outgoing[] {
    const waiting = this.#shadows.get(peer);
    if (waiting === undefined || waiting === null) return [];
    this.#shadows.set(peer, null);
    return waiting.map((message) => ({ to: peer, message }));
  }

  /** Sends nothing more to `peer`. */
  drop(peer: PeerId): void {
    this.#shadows.delete(peer);
  }

  feed(message: PeerMessage): Outgoing[] {
    const sent: Outgoing[] = [];
    for (const [peer, waiting] of this.#shadows) {
      if (waiting === null) sent.push({ to: peer, message });
      else if (this.#backlog.add(peer, messageBytes(message))) waiting.push(message);
      else this.#shadows.delete(peer);
    }
    return sent;
  }
}
