import type { ServedSecond } from './volunteer-state.ts';

const HISTORY_SECONDS = 300;
const SPEED_SECONDS = 5;

/** The tokens that a volunteer served, second by second. */
export class ServingHistory {
  #seconds: readonly ServedSecond[] = [];
  #counted = 0;

  get seconds(): readonly ServedSecond[] {
    return this.#seconds;
  }

  /** Mean over the last few seconds. */
  get tokensPerSecond(): number {
    const last = this.#seconds.slice(-SPEED_SECONDS);
    return last.length === 0 ? 0 : last.reduce((sum, second) => sum + second.tokens, 0) / last.length;
  }

  /** Ends a second in which the total grew to `tokens`. */
  addSecond(atMs: number, tokens: number): void {
    const second = { atMs, tokens: tokens - this.#counted };
    this.#counted = tokens;
    this.#seconds = [...this.#seconds.slice(1 - HISTORY_SECONDS), second];
  }
}
