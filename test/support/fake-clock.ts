import type { Clock } from '#shared/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #startedAtMs: number;
  readonly #timers = new Set<Timer>();

  constructor(startedAtMs = Date.UTC(2026, 0, 1)) {
    this.#startedAtMs = startedAtMs;
  }

  wallMs(): number {
    return this.#startedAtMs + this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(task: () => void, delayMs: number): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers not yet run or taken back: none after a clean stop. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer; undefined without one. */
  get nextDelayMs(): number | undefined {
    const next = this.#next();
    return next && next.dueMs - this.#nowMs;
  }

  /** Moves time on, running due timers in order and letting promises settle after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await settle();
    for (let timer = this.#next(); timer && timer.dueMs <= untilMs; timer = this.#next()) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.task();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** Lets time pass without running timers, as for a thread that slept: they all come late. */
  skip(byMs: number): void {
    this.#nowMs += byMs;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (!next || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) next = timer;
    }
    return next;
  }
}

/** Lets promises, and what they start, run: one turn of the event loop. */
export function settle(): Promise<void> {
  // Where there is one, a turn costs much less by this.
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  // Where there is one, a turn costs much less by this.
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Lets time pass, second by second, until the promise has an outcome: what it waits for may take turns of its own. */
export async function untilSettled(promise: Promise<unknown>, clock: FakeClock): Promise<void> {
  let isSettled = false;
  const done = (): void => {
    isSettled = true;
  };
  promise.then(done, done);
  while (!isSettled) await clock.advance(1000);
}
