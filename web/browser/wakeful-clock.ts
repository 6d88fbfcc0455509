import type { Clock } from '#shared/clock.ts';
import { pageClock } from './page-clock.ts';

/** A thread that wakes the page; `onmessage` is set at once. */
export type Waker = Pick<Worker, 'postMessage' | 'terminate' | 'onmessage' | 'onerror'>;

export interface WakefulClockDeps {
  readonly own: Clock;
  readonly spawn: () => Waker;
  readonly isHidden: () => boolean;
}

const ofThisPage: WakefulClockDeps = {
  own: pageClock(),
  spawn: () => new Worker(new URL('./waker.ts', import.meta.url), { type: 'module', name: 'chorus-waker' }),
  isHidden: () => document.hidden,
};

interface Timer {
  readonly dueMs: number;
  /** Runs its task, unless that has been run or taken back. */
  readonly run: () => void;
}

/**
 * The page's clock for all that others wait for. In a hidden page the browser lets timers come once a second, and once a minute after a
 * while; a thread wakes it for those that are due. Where there can be no thread, they come when the browser lets them.
 */
export class WakefulClock implements Clock {
  readonly #deps: WakefulClockDeps;
  readonly #timers = new Set<Timer>();
  #waker: Waker | null = null;
  #hasFailed = false;
  /** When the thread wakes the page, on the clock of `nowMs`. */
  #wakeMs = Infinity;

  constructor(deps: WakefulClockDeps = ofThisPage) {
    this.#deps = deps;
    document.addEventListener('visibilitychange', () => this.#look());
  }

  wallMs(): number {
    return this.#deps.own.wallMs();
  }

  nowMs(): number {
    return this.#deps.own.nowMs();
  }

  setTimer(task: () => void, delayMs: number): () => void {
    const forget = (): boolean => {
      stopTimer();
      return this.#timers.delete(timer);
    };
    const run = (): void => {
      if (forget()) task();
    };
    const stopTimer = this.#deps.own.setTimer(run, delayMs);
    const timer = { dueMs: this.nowMs() + delayMs, run };
    this.#timers.add(timer);
    if (this.#deps.isHidden()) this.#wakeBy(timer.dueMs);
    return () => void forget();
  }

  /** A page that somebody looks at has timers of its own. */
  #look(): void {
    if (this.#deps.isHidden()) return this.#wakeNext();
    this.#waker?.terminate();
    this.#waker = null;
    this.#wakeMs = Infinity;
  }

  #wakeNext(): void {
    this.#wakeBy(Math.min(...[...this.#timers].map(({ dueMs }) => dueMs)));
  }

  #wakeBy(dueMs: number): void {
    if (dueMs >= this.#wakeMs || this.#hasFailed) return;
    this.#waker ??= this.#spawn();
    this.#waker?.postMessage(Math.max(0, dueMs - this.nowMs()));
    this.#wakeMs = dueMs;
  }

  #spawn(): Waker | null {
    try {
      const waker = this.#deps.spawn();
      waker.onmessage = () => this.#onWoken();
      waker.onerror = () => this.#fail();
      return waker;
    } catch {
      this.#fail();
      return null;
    }
  }

  #fail(): void {
    this.#hasFailed = true;
    this.#waker?.terminate();
    this.#waker = null;
  }

  #onWoken(): void {
    this.#wakeMs = Infinity;
    const nowMs = this.nowMs();
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= nowMs).sort((a, b) => a.dueMs - b.dueMs);
    for (const { run } of due) run();
    if (this.#deps.isHidden()) this.#wakeNext();
  }
}
