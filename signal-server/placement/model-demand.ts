import type { Clock } from '#shared/clock.ts';
import type { Digest } from '#shared/ids.ts';

/** A model that nobody asked for this long gives its room to one that was asked for. */
const AWAKE_MS = 10 * 60_000;

/** Which models people asked for lately. */
export class ModelDemand {
  readonly #clock: Clock;
  readonly #askedAtMs = new Map<Digest, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Somebody asked for an answer of this model. */
  note(model: Digest): void {
    this.#askedAtMs.set(model, this.#clock.nowMs());
  }

  get asked(): ReadonlySet<Digest> {
    const sinceMs = this.#clock.nowMs() - AWAKE_MS;
    return new Set([...this.#askedAtMs].flatMap(([model, atMs]) => (atMs > sinceMs ? [model] : [])));
  }
}
