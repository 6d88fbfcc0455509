import type { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { PeerControlMessage, ServerMessage } from '#shared/wire/control-message.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';

/**
 * A peer on one of its connections. The number is new for each connection that the edge accepts, so that a late message
 * for an old connection never comes to a later one of the same key.
 */
export interface PeerAddress {
  readonly id: PeerId;
  readonly connection: number;
}

/** A message of a peer that is for the desks to answer. */
export type DeskMessage = Exclude<PeerControlMessage, { type: 'prove' | 'alive' }>;

/** From the edge, which has the sockets, to the desks, which decide. A peer's `joined` is its first and `left` its last. */
export type FromPeer =
  | {
      readonly type: 'joined';
      /** As the peer says. */
      readonly kind: PeerKind;
      /** Of its address, for spreading routes over networks. */
      readonly prefix: string;
      /** Of its address, for sharing places among those who come from different ones; null for the server's own peers. */
      readonly client: string | null;
    }
  | DeskMessage
  | {
      readonly type: 'left';
      /** Its own code had shown no life for so long that the edge took it for gone. */
      readonly silent?: true | undefined;
    };

/** From the desks to the edge, which passes it on; after an `error` the edge closes the socket. */
export type ToPeer = Exclude<ServerMessage, { type: 'challenge' | 'welcome' | 'alive' }>;

/** One side's end of a router. Every message arrives as a copy, and those of one sender in the order of sending. */
export interface RouterEnd<Sent, Received> {
  /** Why nothing passes any more: `cancelled` after an orderly close, `server-lost` otherwise; null while it does. */
  readonly ended: ChorusError | null;
  /** A message for a connection that is not open, as far as this end knows, is dropped. */
  send(to: PeerAddress, message: Sent): void;
  /**
   * To be called once; messages wait until then. `onEnd` is called when the other side has closed or is lost. At the end,
   * however it comes, the desks receive `left` of every peer that had not left.
   */
  receive(handler: (from: PeerAddress, message: Received) => void, onEnd: (ended: ChorusError) => void): void;
  /**
   * Takes nothing in any more, and resolves once the other side has all that was sent. Rejects with `server-lost` if it
   * does not, or not within `graceMs`.
   */
  close(graceMs: number): Promise<void>;
}

export type EdgeEnd = RouterEnd<FromPeer, ToPeer>;
export type DesksEnd = RouterEnd<ToPeer, FromPeer>;

/** Passes messages between the edge and the desks, which share nothing else. */
export interface ControlRouter {
  readonly edge: EdgeEnd;
  readonly desks: DesksEnd;
}
