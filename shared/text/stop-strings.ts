/** Lets text through up to the first stop string, and holds back what may yet become one. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';
  #isStopped = false;

  /** Empty strings stop nothing. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** True once a stop string has come. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The text that is certain to come before any stop string. */
  push(text: string): string {
    if (this.#isStopped) return '';
    const whole = this.#held + text;
    const found = this.#stops.map((stop) => whole.indexOf(stop)).filter((index) => index !== -1);
    if (found.length > 0) {
      this.#isStopped = true;
      this.#held = '';
      return whole.slice(0, Math.min(...found));
    }
    const certain = whole.length - this.#possibleStart(whole);
    this.#held = whole.slice(certain);
    return whole.slice(0, certain);
  }

  /** The text that was held back, once no more follows. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #possibleStart(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
