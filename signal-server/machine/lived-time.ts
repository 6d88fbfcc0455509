import type { Clock } from '#shared/clock.ts';

/**
 * The time by which what is old is dropped: the wall's, but no later than the newest time on record before this start and
 * what has passed since the start. So one start with a clock far ahead drops nothing; the next one believes it.
 */
export class LivedTime {
  readonly #clock: Pick<Clock, 'wallMs' | 'nowMs'>;
  readonly #recordedMs: number;
  readonly #startedMs: number;

  /** `recordedMs` is wall time; null where nothing is on record. */
  constructor(clock: Pick<Clock, 'wallMs' | 'nowMs'>, recordedMs: number | null) {
    this.#clock = clock;
    this.#recordedMs = recordedMs ?? clock.wallMs();
    this.#startedMs = clock.nowMs();
  }

  get wallMs(): number {
    return Math.min(this.#clock.wallMs(), this.#recordedMs + this.#clock.nowMs() - this.#startedMs);
  }
}
