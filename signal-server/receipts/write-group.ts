import { setImmediate } from 'node:timers';

interface Waiting {
  readonly write: () => void;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Writes that come in one turn of the event loop reach the disk together, so that many that wait share one wait. They
 * are made in the order in which they came, all of them or none.
 */
export class WriteGroup {
  readonly #inOne: (writes: readonly (() => void)[]) => void;
  #waiting: Waiting[] = [];

  /** `inOne` makes all writes in one transaction; they have reached the disk when it returns. */
  constructor(inOne: (writes: readonly (() => void)[]) => void) {
    this.#inOne = inOne;
  }

  /** Resolves once the write has reached the disk. Rejects with what it threw, or another of its group. */
  add(write: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#writeAll());
    });
  }

  #writeAll(): void {
    const group = this.#waiting;
    this.#waiting = [];
    try {
      this.#inOne(group.map(({ write }) => write));
    } catch (error) {
      for (const { reject } of group) reject(error);
      return;
    }
    for (const { resolve } of group) resolve();
  }
}
