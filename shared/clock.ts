import { CLOCK_SKEW_MS } from './limits.ts';

/** Time as an argument: the real one, or a fake one in tests. */
export interface Clock {
  /** Milliseconds since 1970, as Date.now gives. For dates that leave the machine. */
  wallMs(): number;
  /** Milliseconds that only ever grow, with fractions. For durations. */
  nowMs(): number;
  /** Calls `task` once after `delayMs`; the returned function takes the call back. */
  setTimer(task: () => void, delayMs: number): () => void;
}

/** One moment on both clocks. */
export interface Now {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** No message is under way for longer: the connection would be taken for lost. */
const LATE_MS = 10_000;

/**
 * A device's clock that goes by the server's time of day once that was heard: the device's own may be wrong by minutes or years, and what
 * peers sign and compare must be of one time. Durations are the device's own.
 */
export class ServerClock implements Clock {
  readonly #own: Clock;
  /** The server's time of day, and when it was heard on the clock of `nowMs`; null before. */
  #heard: { readonly serverMs: number; readonly atMs: number } | null = null;

  constructor(own: Clock) {
    this.#own = own;
  }

  wallMs(): number {
    if (this.#heard === null) return this.#own.wallMs();
    const { serverMs, atMs } = this.#heard;
    return serverMs + this.#own.nowMs() - atMs;
  }

  nowMs(): number {
    return this.#own.nowMs();
  }

  setTimer(task: () => void, delayMs: number): () => void {
    return this.#own.setTimer(task, delayMs);
  }

  /** Milliseconds by which the device's own time of day is ahead of the server's; null before that was heard. */
  get aheadMs(): number | null {
    return this.#heard === null ? null : this.#own.wallMs() - this.wallMs();
  }

  /** The server says that it is `serverMs` now. */
  hear(serverMs: number): void {
    // What was long under way is behind what is known, and time does not go back for it.
    const behindMs = this.#heard === null ? Infinity : this.wallMs() - serverMs;
    if (behindMs >= 0 && behindMs < LATE_MS) return;
    this.#heard = { serverMs, atMs: this.#own.nowMs() };
  }
}

const UNITS = [
  { name: 'days', ms: 24 * 3_600_000 },
  { name: 'hours', ms: 3_600_000 },
  { name: 'minutes', ms: 60_000 },
  { name: 'seconds', ms: 1000 },
] as const;

/** `21 minutes ahead of the server's`, for the owner of a clock that is far off; null for one that is not, or of which nothing is known. */
export function describeClock(aheadMs: number | null): string | null {
  if (aheadMs === null || Math.abs(aheadMs) <= CLOCK_SKEW_MS) return null;
  const offMs = Math.abs(aheadMs);
  const { name, ms } = UNITS.find((unit) => offMs >= 2 * unit.ms) ?? UNITS[3];
  return `${Math.round(offMs / ms)} ${name} ${aheadMs > 0 ? 'ahead of' : 'behind'} the server’s`;
}

/** Randomness as an argument: `count` bytes fit for keys and nonces. */
export type RandomBytes = (count: number) => Uint8Array<ArrayBuffer>;

/** Calls `task` every `everyMs` until the returned function is called. */
export function repeat(clock: Clock, everyMs: number, task: () => void): () => void {
  let stop = clock.setTimer(run, everyMs);
  function run(): void {
    stop = clock.setTimer(run, everyMs);
    task();
  }
  return () => stop();
}
