import type { PeerId } from '../ids.ts';
import { MAX_BACKLOG_BYTES } from '../limits.ts';
import type { PeerMessage } from './peer-message.ts';

/** Bytes of a message besides its rows or its payload, roughly. */
const MESSAGE_BYTES = 512;

/** Bytes that a message counts for in a backlog. */
export function messageBytes(message: PeerMessage): number {
  if (message.type === 'recorded') return MESSAGE_BYTES + message.claim.length + message.envelope.payload.length;
  return MESSAGE_BYTES + ('rows' in message ? message.rows.bytes.length : 0);
}

/** Bytes on their way to peers that nobody waits for, such as shadows: they may be slower than the messages sent to them. */
export class Backlog {
  readonly #bytes = new Map<PeerId, number>();

  /** False, and nothing added, if `peer` would be further behind than it may. */
  add(peer: PeerId, bytes: number): boolean {
    const sum = (this.#bytes.get(peer) ?? 0) + bytes;
    if (sum > MAX_BACKLOG_BYTES) return false;
    this.#bytes.set(peer, sum);
    return true;
  }

  remove(peer: PeerId, bytes: number): void {
    this.#bytes.set(peer, Math.max(0, (this.#bytes.get(peer) ?? 0) - bytes));
  }
}
