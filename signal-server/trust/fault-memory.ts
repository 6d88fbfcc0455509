import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';

const MAX_PER_REQUESTER = 256;

/** Which volunteers failed which requester a moment ago. One requester's word counts for its own routes only. */
export class FaultMemory {
  readonly #clock: Clock;
  readonly #memoryMs: number;
  readonly #byRequester = new Map<PeerId, Map<PeerId, number>>();

  constructor(clock: Clock, memoryMs: number) {
    this.#clock = clock;
    this.#memoryMs = memoryMs;
  }

  remember(requester: PeerId, volunteer: PeerId): void {
    const faults = this.#byRequester.get(requester) ?? new Map<PeerId, number>();
    if (faults.size >= MAX_PER_REQUESTER) return;
    faults.set(volunteer, this.#clock.nowMs() + this.#memoryMs);
    this.#byRequester.set(requester, faults);
  }

  failedLately(requester: PeerId, volunteer: PeerId): boolean {
    return (this.#byRequester.get(requester)?.get(volunteer) ?? -Infinity) > this.#clock.nowMs();
  }

  /** Drops what no longer counts. */
  prune(): void {
    const nowMs = this.#clock.nowMs();
    for (const [requester, faults] of this.#byRequester) {
      for (const [volunteer, untilMs] of faults) if (untilMs <= nowMs) faults.delete(volunteer);
      if (faults.size === 0) this.#byRequester.delete(requester);
    }
  }
}
