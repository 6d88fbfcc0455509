import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import type { Config } from '../machine/config.ts';

const MAX_PER_REQUESTER = 256;
/** Stalls count for longer than they are held against a volunteer, so that the next one weighs more. */
const STALLS_REMEMBERED = 10;

interface Entry {
  untilMs: number;
  /** Stalls in a row, none of which was longer ago than is remembered. */
  stalls: number;
  forgetAtMs: number;
}

/**
 * Which volunteers failed which requester a moment ago, or stalled. One requester's word counts for its own routes only. A
 * failure is remembered for a fixed time; a stall, which any machine can have, shortly at first, and twice as long each time.
 */
export class FaultMemory {
  readonly #clock: Clock;
  readonly #times: Pick<Config['times'], 'faultMemoryMs' | 'stallMemoryMs'>;
  readonly #byRequester = new Map<PeerId, Map<PeerId, Entry>>();

  constructor(clock: Clock, times: Pick<Config['times'], 'faultMemoryMs' | 'stallMemoryMs'>) {
    this.#clock = clock;
    this.#times = times;
  }

  failed(requester: PeerId, volunteer: PeerId): void {
    this.#remember(requester, volunteer, ({ stalls }) => [this.#times.faultMemoryMs, stalls]);
  }

  stalled(requester: PeerId, volunteer: PeerId): void {
    const { faultMemoryMs, stallMemoryMs } = this.#times;
    this.#remember(requester, volunteer, ({ stalls }) => [
      Math.min(faultMemoryMs, stallMemoryMs * 2 ** stalls),
      stalls + 1,
    ]);
  }

  failedLately(requester: PeerId, volunteer: PeerId): boolean {
    return (this.#byRequester.get(requester)?.get(volunteer)?.untilMs ?? -Infinity) > this.#clock.nowMs();
  }

  /** Drops what no longer counts. */
  prune(): void {
    const nowMs = this.#clock.nowMs();
    for (const [requester, known] of this.#byRequester) {
      for (const [volunteer, { forgetAtMs }] of known) if (forgetAtMs <= nowMs) known.delete(volunteer);
      if (known.size === 0) this.#byRequester.delete(requester);
    }
  }

  #remember(requester: PeerId, volunteer: PeerId, next: (entry: Entry) => [forMs: number, stalls: number]): void {
    const nowMs = this.#clock.nowMs();
    const known = this.#byRequester.get(requester) ?? new Map<PeerId, Entry>();
    const before = known.get(volunteer);
    if (before === undefined && known.size >= MAX_PER_REQUESTER) return;
    const isKnown = before !== undefined && before.forgetAtMs > nowMs;
    const entry = isKnown ? before : { untilMs: nowMs, stalls: 0, forgetAtMs: nowMs };
    const [forMs, stalls] = next(entry);
    entry.untilMs = Math.max(entry.untilMs, nowMs + forMs);
    entry.forgetAtMs = nowMs + (stalls > 0 ? STALLS_REMEMBERED : 1) * this.#times.faultMemoryMs;
    entry.stalls = stalls;
    known.set(volunteer, entry);
    this.#byRequester.set(requester, known);
  }
}
