import { isExactClass } from '../../judge/numeric-class.ts';
import { LAP_FLOOR_MS, PROGRESS_ASK_MS } from '../../limits.ts';
import type { Route } from '../../route/route.ts';

/** Laps of runs of one size that are remembered. */
const LAPS = 9;
/** How many times the usual lap one may take; honest laps vary by less. */
const USUAL_MARGIN = 3;
/** How many times the route's prediction a lap may take: it knows nothing of what its volunteers do besides. */
const PREDICTED_MARGIN = 4;
/** The least that each link of a lap is given, besides its stages' own work. */
const HOP_MS = 100;
/** The first run of a size, in which a graphics processor may have to compile. */
const FIRST_RUN_MS = 5_000;
/** The first run of all of classes that compile nothing; of another size it is like any other. */
const FIRST_EXACT_RUN_MS = 1_000;
const MAX_PATIENCE = 32;

/** How long laps of one session take, and how long one may take before its volunteers are slower than they were measured to be. */
export class Pace {
  readonly #stages: Route['stages'];
  #patience: number;
  readonly #isExact: boolean;
  /** The last laps of runs of so many positions. */
  readonly #laps = new Map<number, number[]>();

  /** `patience` is how many times the usual time the requester gives its volunteers. */
  constructor(stages: Route['stages'], patience = 1) {
    this.#stages = stages;
    this.#patience = patience;
    this.#isExact = stages.every(({ primary }) => isExactClass(primary.numericClass));
  }

  /** Its volunteers are given twice the time from now on: there are no others. */
  lengthen(): void {
    this.#patience = Math.min(MAX_PATIENCE, 2 * this.#patience);
  }

  /** A run of `count` positions came round in `tookMs`. */
  note(count: number, tookMs: number): void {
    this.#laps.set(count, [...(this.#laps.get(count) ?? []), tookMs].slice(-LAPS));
  }

  /** When to ask who is there, where each replica owes something by itself. */
  get wordMs(): number {
    return this.#patience * LAP_FLOOR_MS;
  }

  /** What a shadow of the stage may need to run `count` positions again; more where it may have to compile first. */
  shadowRunMs(stage: number, count: number, mayCompile: boolean): number {
    const predictedMs = PREDICTED_MARGIN * this.#stages[stage]!.predictedMs * count;
    return this.#patience * Math.max(predictedMs, mayCompile ? FIRST_RUN_MS : 0);
  }

  /** When to ask where a run of `count` positions is: well before it has taken too long, however slow it was from the start. */
  askMs(count: number, distanceMs: number): number {
    const usualMs = 1.5 * (this.#usualMs(count) ?? 0);
    return Math.max(PROGRESS_ASK_MS, Math.min(usualMs, this.limitMs(count, distanceMs) / 2));
  }

  /**
   * When a run of `count` positions has taken too long. The first one of a size has the prediction only, which takes each of
   * its positions for a lap. Later ones may take three times the usual, as long as that is not far beyond the prediction: it would
   * be usual for one who was slow from the start. Replicas are `distanceMs` away, there and back.
   */
  limitMs(count: number, distanceMs: number): number {
    const predictedMs = this.#predictedMs(count, distanceMs);
    const usualMs = this.#usualMs(count);
    const limitMs =
      usualMs === null
        ? Math.max(this.#firstMs, predictedMs)
        : Math.max(LAP_FLOOR_MS, Math.min(USUAL_MARGIN * usualMs, predictedMs));
    return this.#patience * limitMs;
  }

  /** What the first run of a size is given at least. */
  get #firstMs(): number {
    if (!this.#isExact) return FIRST_RUN_MS;
    return this.#laps.size === 0 ? FIRST_EXACT_RUN_MS : LAP_FLOOR_MS;
  }

  #predictedMs(count: number, distanceMs: number): number {
    const workMs = this.#stages.reduce((sum, stage) => sum + stage.predictedMs * count, 0);
    return PREDICTED_MARGIN * workMs + Math.max(HOP_MS, 2 * distanceMs) * (this.#stages.length + 1);
  }

  #usualMs(count: number): number | null {
    const laps = this.#laps.get(count);
    return laps === undefined ? null : median(laps);
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
