import type { Clock, Now } from '../clock.ts';

interface Engine<Event, Effect> {
  handle(event: Event, now: Now): Effect[];
  readonly deadlineMs: number;
}

/** Feeds an engine: one event after the other, its effects performed in order, and a timer at its deadline. */
export class EngineLoop<Event, Effect> {
  readonly #engine: Engine<Event, Effect>;
  readonly #clock: Clock;
  readonly #timeEvent: Event;
  readonly #perform: (effect: Effect) => void;
  readonly #events: Event[] = [];
  #isRunning = false;
  #isStopped = false;
  #stopTimer: () => void = () => undefined;

  constructor(engine: Engine<Event, Effect>, clock: Clock, timeEvent: Event, perform: (effect: Effect) => void) {
    this.#engine = engine;
    this.#clock = clock;
    this.#timeEvent = timeEvent;
    this.#perform = perform;
  }

  /** Handles `event` now, or after those that are being handled. */
  dispatch(event: Event): void {
    if (this.#isStopped) return;
    this.#events.push(event);
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const now = { nowMs: this.#clock.nowMs(), wallMs: this.#clock.wallMs() };
        for (const effect of this.#engine.handle(next, now)) this.#perform(effect);
      }
    } finally {
      this.#isRunning = false;
    }
    this.#setTimer();
  }

  /** Takes no more events. */
  stop(): void {
    this.#isStopped = true;
    this.#stopTimer();
  }

  #setTimer(): void {
    this.#stopTimer();
    this.#stopTimer = () => undefined;
    const { deadlineMs } = this.#engine;
    if (this.#isStopped || deadlineMs === Infinity) return;
    const delayMs = Math.max(0, deadlineMs - this.#clock.nowMs());
    this.#stopTimer = this.#clock.setTimer(() => this.dispatch(this.#timeEvent), delayMs);
  }
}
