import type { PeerId } from '../../ids.ts';

/** Peers in vain before nobody is tried any more, where none has come up at all: the fault is then this side's, or its network's. */
const MAX_IN_VAIN = 2;
/** Peers that are remembered. */
const MAX_REMEMBERED = 1_000;

/** How direct connections have fared on this visit: what was waited for in vain is not waited for again. */
export class DirectRecord {
  readonly #inVain = new Set<PeerId>();
  #hasWorked = false;

  /** A direct link to `peer` is open, whoever opened it. */
  worked(peer: PeerId): void {
    this.#hasWorked = true;
    this.#inVain.delete(peer);
  }

  /** None came up within its time. */
  failed(peer: PeerId): void {
    this.#inVain.delete(peer);
    this.#inVain.add(peer);
    for (const oldest of this.#inVain) {
      if (this.#inVain.size <= MAX_REMEMBERED) break;
      this.#inVain.delete(oldest);
    }
  }

  /** Why `peer` is not dialled directly, in words for people; null where it is. */
  whyNot(peer: PeerId): string | null {
    if (!this.#hasWorked && this.#inVain.size >= MAX_IN_VAIN) return 'no direct connection has come up on this visit';
    return this.#inVain.has(peer) ? 'a direct connection to it did not come up before' : null;
  }
}
