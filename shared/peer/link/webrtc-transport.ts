import type { PeerId } from '../../ids.ts';
import type { Channel } from './channel.ts';

/** Data channels to other peers, where the platform has them. */
export interface WebRtcTransport {
  /** An open channel; rejects with `link-lost`, `timeout` or `cancelled`. Nothing is proved about the other end yet. */
  connect(peer: PeerId, signal: AbortSignal): Promise<Channel>;
  /** Called for each channel that another side, by its own word `peer`, opened. */
  onIncoming: ((peer: PeerId, channel: Channel) => void) | null;
  close(): void;
}
