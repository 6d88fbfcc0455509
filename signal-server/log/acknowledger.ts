import type { Clock } from '#shared/clock.ts';
import type { AcknowledgedSizes } from '../store/acknowledged-sizes.ts';

const LAG_MS = 1_000;

export interface AcknowledgerOptions {
  readonly acknowledged: AcknowledgedSizes;
  readonly clock: Clock;
  /** Told each time the size could not be put on record. It is tried again, and the log goes on. */
  readonly onError: (error: unknown) => void;
}

/** Puts the size of a log on record a little after it has grown. */
export class Acknowledger {
  readonly #head: () => { readonly origin: string; readonly size: number };
  readonly #options: AcknowledgerOptions;
  #cancelTimer: (() => void) | null = null;
  #isStopped = false;

  constructor(head: () => { readonly origin: string; readonly size: number }, options: AcknowledgerOptions) {
    this.#head = head;
    this.#options = options;
  }

  /** Puts the size on record soon, with what else comes until then. */
  grown(): void {
    if (this.#isStopped) return;
    this.#cancelTimer ??= this.#options.clock.setTimer(() => {
      this.write().catch((error: unknown) => {
        this.#options.onError(error);
        this.grown();
      });
    }, LAG_MS);
  }

  /** Puts the size on record now; rejects where that cannot be done. */
  async write(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const { origin, size } = this.#head();
    await this.#options.acknowledged.write(origin, size);
  }

  /** Writes a last time. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.write();
  }
}
