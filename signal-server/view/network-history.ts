import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

type Point = NetworkSnapshot['history'][number];

/** From one point to the next. */
interface Step {
  readonly point: Omit<Point, 'tokensPerSecond'>;
  readonly fromMs: number;
  readonly toMs: number;
  readonly tokens: number;
}

export const HISTORY_STEP_MS = 10_000;
const HISTORY_POINTS = 360;

/** The last hour, a point every ten seconds. Times are monotonic; `atMs` of a point is wall time. */
export class NetworkHistory {
  #steps: readonly Step[] = [];
  /** Since the last point. */
  #fromMs: number;
  #tokens = 0;

  constructor(nowMs: number) {
    this.#fromMs = nowMs;
  }

  get points(): readonly Point[] {
    return this.#steps.map(({ point, fromMs, toMs, tokens }) => ({
      ...point,
      tokensPerSecond: (1000 * tokens) / Math.max(1, toMs - fromMs),
    }));
  }

  /** Adds a point. */
  add(nowMs: number, wallMs: number, counts: { volunteers: number; sessions: number }): void {
    const step = { point: { atMs: wallMs, ...counts }, fromMs: this.#fromMs, toMs: nowMs, tokens: this.#tokens };
    this.#steps = [...this.#steps, step].slice(-HISTORY_POINTS);
    this.#fromMs = nowMs;
    this.#tokens = 0;
  }

  /**
   * Adds tokens of an answer that were made, as fast at the end as at the start, in the `tookMs` before `nowMs`: points
   * that are there already rise too, since what an answer came to is heard of when it ends.
   */
  addTokens(nowMs: number, tokens: number, tookMs: number): void {
    const startMs = nowMs - tookMs;
    const shareOf = (fromMs: number, toMs: number): number =>
      (tokens * Math.max(0, Math.min(toMs, nowMs) - Math.max(fromMs, startMs))) / tookMs;
    this.#tokens += tookMs > 0 ? shareOf(this.#fromMs, nowMs) : tokens;
    if (startMs >= this.#fromMs) return;
    this.#steps = this.#steps.map((step) => ({ ...step, tokens: step.tokens + shareOf(step.fromMs, step.toMs) }));
  }
}
