import { ChorusError, toChorusError } from '#shared/errors.ts';

export interface FairQueueLimits {
  /** Who may be inside at once, of all clients and of each. */
  readonly most: number;
  readonly mostOfOne: number;
  /** Who may wait at once, of all clients and of each. */
  readonly waiting: number;
  readonly waitingOfOne: number;
}

interface Waiting {
  readonly client: string;
  readonly enter: () => void;
}

/**
 * A door that few may pass at once. Who is next comes of the client that has the fewest inside; of several such, of the one
 * that was let in the longest ago, where a new client counts as let in just before whoever was last when it came. So a client
 * that asks much waits for itself, and others hardly for it.
 */
export class FairQueue {
  readonly #limits: FairQueueLimits;
  #waiting: readonly Waiting[] = [];
  readonly #inside = new Map<string, number>();
  #count = 0;
  /** Clients that are inside or wait, by when one of them was let in last: a number that only grows. */
  readonly #lastEntry = new Map<string, number>();
  #entries = 0;

  constructor(limits: FairQueueLimits) {
    this.#limits = limits;
  }

  get isIdle(): boolean {
    return this.#count === 0 && this.#waiting.length === 0;
  }

  /**
   * Waits to be let in; the returned function leaves again. Rejects with the reason of `signal`, with `rate-limited` where
   * this client has too many waiting, and with `all-busy` where all clients together have.
   */
  enter(client: string, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(toChorusError(signal.reason, 'cancelled'));
      const { waiting, waitingOfOne } = this.#limits;
      const ofOne = this.#waiting.filter((other) => other.client === client).length;
      if (ofOne >= waitingOfOne) {
        return reject(new ChorusError('rate-limited', `${ofOne} requests from this address are waiting already`));
      }
      if (this.#waiting.length >= waiting) {
        return reject(new ChorusError('all-busy', `${waiting} requests are waiting already`));
      }
      const giveUp = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        this.#forget(client);
        reject(toChorusError(signal.reason, 'cancelled'));
      };
      const entry: Waiting = {
        client,
        enter: () => {
          signal.removeEventListener('abort', giveUp);
          resolve(this.#pass(client));
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (!this.#lastEntry.has(client)) this.#lastEntry.set(client, this.#entries - 1);
      this.#waiting = [...this.#waiting, entry];
      this.#letIn();
    });
  }

  /** Counts one in; the returned function counts it out, once. */
  #pass(client: string): () => void {
    this.#count += 1;
    this.#inside.set(client, this.#insideOf(client) + 1);
    this.#entries += 1;
    this.#lastEntry.set(client, this.#entries);
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#count -= 1;
      this.#inside.set(client, this.#insideOf(client) - 1);
      this.#forget(client);
      this.#letIn();
    };
  }

  #letIn(): void {
    while (this.#count < this.#limits.most) {
      const next = this.#next();
      if (next === null) return;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      next.enter();
    }
  }

  #next(): Waiting | null {
    let best: Waiting | null = null;
    for (const entry of this.#waiting) {
      if (this.#insideOf(entry.client) >= this.#limits.mostOfOne) continue;
      if (best === null || this.#isBefore(entry.client, best.client)) best = entry;
    }
    return best;
  }

  #isBefore(client: string, other: string): boolean {
    const difference = this.#insideOf(client) - this.#insideOf(other);
    if (difference !== 0) return difference < 0;
    return (this.#lastEntry.get(client) ?? 0) < (this.#lastEntry.get(other) ?? 0);
  }

  #insideOf(client: string): number {
    return this.#inside.get(client) ?? 0;
  }

  /** A client without anybody inside or waiting is not remembered. */
  #forget(client: string): void {
    if (this.#insideOf(client) > 0) return;
    this.#inside.delete(client);
    if (this.#waiting.every((other) => other.client !== client)) this.#lastEntry.delete(client);
  }
}
