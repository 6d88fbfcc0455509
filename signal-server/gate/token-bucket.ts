/**
 * Allows `perSecond` units on average and `burst` at once. Synchronous, unlike the limiters of a shared store, because
 * the messages of one socket must stay in order.
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #nowMs: () => number;
  #level: number;
  #filledAtMs: number;

  constructor(limit: { perSecond: number; burst: number }, nowMs: () => number) {
    this.#perSecond = limit.perSecond;
    this.#burst = limit.burst;
    this.#nowMs = nowMs;
    this.#level = limit.burst;
    this.#filledAtMs = nowMs();
  }

  /** The share that is left, 1 for all. */
  get fill(): number {
    this.#refill();
    return this.#level / this.#burst;
  }

  /** Takes `units` and answers true, or takes nothing and answers false. */
  take(units: number): boolean {
    this.#refill();
    if (units > this.#level) return false;
    this.#level -= units;
    return true;
  }

  #refill(): void {
    const nowMs = this.#nowMs();
    this.#level = Math.min(this.#burst, this.#level + ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond);
    this.#filledAtMs = nowMs;
  }
}
