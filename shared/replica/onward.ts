import type { PeerId, SessionId } from '../ids.ts';
import { Backlog, messageBytes } from '../wire/backlog.ts';
import type { HopTiming, PeerMessage } from '../wire/peer-message.ts';
import { ShadowFeed } from '../wire/shadow-feed.ts';
import type { Seat } from './admission.ts';
import type { ReplicaSessionEffect } from './replica-event.ts';

/**
 * Everybody that one session's output goes to: the next primary, or the requester, and the next stage's shadows, who get
 * the same. Only the former counts: a shadow that cannot be reached or does not keep up is left to itself.
 */
export class Onward {
  readonly #session: SessionId;
  readonly #seat: Seat;
  readonly #perform: (effect: ReplicaSessionEffect) => void;
  readonly #feed: ShadowFeed;
  readonly #backlog = new Backlog();
  #transport: HopTiming['onward'] = 'relay';

  constructor(session: SessionId, seat: Seat, perform: (effect: ReplicaSessionEffect) => void) {
    this.#session = session;
    this.#seat = seat;
    this.#perform = perform;
    this.#feed = new ShadowFeed(seat.shadows.map(({ peer }) => peer));
  }

  /** The kind of the link forward. */
  get transport(): HopTiming['onward'] {
    return this.#transport;
  }

  /** The volunteer after this stage; null where the requester is. */
  get volunteer(): PeerId | null {
    const { forward } = this.#seat;
    return forward === null || forward.isRequester ? null : forward.peer;
  }

  /** Asks for all links. */
  connect(): void {
    const { forward, shadows } = this.#seat;
    for (const { peer, webrtc } of forward === null ? [] : [forward, ...shadows]) {
      this.#perform({ type: 'connect', session: this.#session, peer, webrtc });
    }
  }

  /** True if this is the one link that counts. */
  connected(peer: PeerId, transport: HopTiming['onward']): boolean {
    if (this.#seat.forward?.peer === peer) {
      this.#transport = transport;
      return true;
    }
    for (const { message } of this.#feed.connected(peer)) this.#feedOne(peer, message);
    return false;
  }

  /** A shadow gets nothing any more. */
  drop(peer: PeerId): void {
    this.#feed.drop(peer);
  }

  send(message: PeerMessage): void {
    if (this.#seat.forward === null) return;
    this.#perform({ type: 'send', to: this.#seat.forward.peer, message });
    for (const { to } of this.#feed.feed(message)) this.#feedOne(to, message);
  }

  /** A counted message is within the link's window. */
  sent(peer: PeerId, bytes: number): void {
    this.#backlog.remove(peer, bytes);
  }

  #feedOne(to: PeerId, message: PeerMessage): void {
    const session = this.#session;
    const bytes = messageBytes(message);
    if (this.#backlog.add(to, bytes)) return this.#perform({ type: 'send-counted', session, to, message, bytes });
    this.#feed.drop(to);
    const close = { type: 'close', session, reason: 'too far behind what it was sent' } as const;
    this.#perform({ type: 'send', to, message: close });
  }
}
