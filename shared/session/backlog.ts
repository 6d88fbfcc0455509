import type { PeerId } from '../ids.ts';

/** Most that may be handed to the links to one peer and not yet be within their windows. */
export const MAX_BACKLOG_BYTES = 16 * 1024 * 1024;

/** Bytes on their way to peers that nothing waits for, and so may be slower than what is sent to them. */
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
