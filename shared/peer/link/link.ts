import type { PeerId } from '../../ids.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';

/** An authenticated, ordered connection to one peer. Both sides have proved their keys before it exists. */
export interface Link {
  readonly peer: PeerId;
  readonly transport: 'webrtc' | 'relay';
  /** Smoothed round trip in milliseconds; undefined before the first pong. */
  readonly roundTripMs: number | undefined;
  /** Bytes sent and received, headers included. */
  readonly traffic: { readonly sentBytes: number; readonly receivedBytes: number };
  /** Resolves when the message is within the send window; rejects with `link-lost` if the link closes first. */
  send(message: PeerMessage): Promise<void>;
  /** Adds a listener; the returned function removes it. */
  onMessage(listener: (message: PeerMessage) => void): () => void;
  onClose(listener: (reason: string) => void): () => void;
  readonly isClosed: boolean;
  close(reason: string): void;
}

/** Where links come from. `connect` reuses an open link to the same peer. */
export interface Links {
  /** Rejects with `link-lost` (nobody there), `wrong-peer`, `timeout` or `cancelled`. */
  connect(peer: PeerId, options: { webrtc: boolean; signal: AbortSignal }): Promise<Link>;
  /**
   * Called for each link, those that are open already included (in the next microtask), whoever opened it: a peer that
   * wants to reach this one reuses what this one dialled.
   */
  onLink(listener: (link: Link) => void): () => void;
}
