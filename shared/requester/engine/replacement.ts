import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { SpanCheck } from '../../judge/finding.ts';
import type { Route } from '../../route/route.ts';
import type { AnswerEvent } from '../answer-event.ts';
import type { Told } from '../requester-event.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Stall } from '../session/session-news.ts';

/** Other routes that are taken for one answer without its getting on. */
const MAX_REPLACEMENTS = 16;
/** How long a complete answer waits for a route on which all of it is checked. */
const CHECK_AGAIN_MS = 5_000;

const LEFT_UNCHECKED = 'a stage was left without a replica that checks it';

/** Another route that is asked for while the answer goes on in its session as well as it can. */
export interface Replacement {
  readonly session: LiveSession;
  /**
   * `bare`: a stage has nobody who checks it; `slow`: too slow, as far as can be told; `lost`: nothing comes any more; `unsigned`:
   * the answer is complete, and a record of it is withheld.
   */
  readonly why: 'bare' | 'slow' | 'lost' | 'unsigned';
  readonly error: ChorusError;
  readonly blamed: readonly PeerId[];
  /** Of those, whom the server is told to have been slow or silent. */
  readonly stalled?: Told['stalled'];
}

/** The routes that one answer seeks while its session goes on, and the verdicts that wait for what becomes of that. */
export class Replacements {
  #sought: Replacement | null = null;
  #held: SpanCheck[] = [];
  #taken = 0;
  #patience = 1;
  /** What becomes of an answer with a stage that nobody checks: it is tried once more when the answer is complete. */
  #again: 'none' | 'put-off' | 'seeking' | 'over' = 'none';
  #byMs = Infinity;
  /** The fewest stages without a check that a route of this answer had. */
  #leastBare = Infinity;
  readonly #isChecked: boolean;

  /** `isChecked` if a check is asked for. */
  constructor(isChecked: boolean) {
    this.#isChecked = isChecked;
  }

  /** Null while none is sought. */
  get sought(): Replacement | null {
    return this.#sought;
  }

  /** How many times the usual time the next session's volunteers get: more with each that was left for being slow or silent. */
  get patience(): number {
    return this.#patience;
  }

  /** True once there were so many that no more are taken. */
  get isSpent(): boolean {
    return this.#taken >= MAX_REPLACEMENTS;
  }

  /** When no route is waited for any more. */
  get deadlineMs(): number {
    return this.#sought !== null && this.#again === 'seeking' ? this.#byMs : Infinity;
  }

  seek(replacement: Replacement): void {
    const isWorse = this.#sought?.why === 'lost' && replacement.why !== 'lost';
    if (!isWorse) this.#sought = replacement;
  }

  /** True for a verdict that a new shadow could better, which is kept until there is one, or none; and for those after it. */
  hold(check: SpanCheck): boolean {
    const isOpen = this.#sought?.why === 'bare' || this.#again === 'put-off';
    const isHeld = isOpen && (this.#held.length > 0 || check.tier === 'unchecked');
    if (isHeld) this.#held.push(check);
    return isHeld;
  }

  /** True for a route with a stage that is to be checked, and is not. */
  isBare(route: Route): boolean {
    return this.#isChecked && bareStages(route) > 0;
  }

  /** The answer goes on over this route: where one before it was checked better, such a one is sought when the answer is complete. */
  follow(route: Route): void {
    const bare = bareStages(route);
    if (this.isBare(route) && bare > this.#leastBare && this.#again === 'none') this.#again = 'put-off';
    this.#leastBare = Math.min(this.#leastBare, bare);
  }

  /** Nobody takes the place that was sought: where it is of one who checked a stage, one is sought when the answer is complete. */
  putOff(): void {
    if (this.#sought?.why === 'bare' && this.#again === 'none') this.#again = 'put-off';
  }

  /** True once all verdicts on an answer of so many rows are there, some of them held for a route that was put off. */
  isDue(rows: number): boolean {
    const last = this.#held.at(-1);
    return this.#again === 'put-off' && this.#sought === null && last !== undefined && last.end >= rows;
  }

  /** The route to seek that was put off. */
  again(session: LiveSession, nowMs: number): Replacement {
    this.#again = 'seeking';
    this.#byMs = nowMs + CHECK_AGAIN_MS;
    return { session, why: 'bare', error: new ChorusError('check-failed', LEFT_UNCHECKED), blamed: [] };
  }

  /** Counts a route that is taken in place of one that was of no more use. */
  count(): void {
    this.#taken += 1;
  }

  /** The route that was sought is taken: what was held is worth nothing. */
  take({ why }: Replacement): void {
    this.count();
    if (why === 'slow' || why === 'lost') this.#patience *= 2;
    this.drop();
  }

  /** None is sought any more. */
  drop(): void {
    this.#sought = null;
    this.#held = [];
    this.#again = this.#again === 'seeking' ? 'over' : this.#again === 'put-off' ? 'none' : this.#again;
  }

  /** The answer goes on where it is; returns the verdicts that were held for what was sought. */
  giveUp(): readonly SpanCheck[] {
    if (this.#again === 'put-off') {
      this.#sought = null;
      return [];
    }
    const held = this.#held;
    this.drop();
    return held;
  }

  /** The answer is over. */
  forget(): void {
    this.drop();
    this.#taken = 0;
    this.#patience = 1;
    this.#again = 'none';
    this.#leastBare = Infinity;
  }
}

/** The route to seek without those that stall. The server hears of them, but for two that contradict each other: one of them is not why. */
export function replacementFor(
  session: LiveSession,
  { why, goesOn = why === 'slow', volunteers: blamed, error }: Stall,
): Replacement {
  return {
    session,
    why: goesOn ? 'slow' : 'lost',
    error,
    blamed,
    stalled: why === 'unclear' ? [] : [...blamed],
  };
}

/** The news that a route was taken in place of another, from this position on. */
export function reroutedBy({ why, error, blamed }: Replacement, from: number): AnswerEvent {
  const volunteer = why === 'slow' || blamed.length !== 1 ? null : blamed[0]!;
  return { type: 'rerouted', reason: error.message, volunteer, from };
}

/** True if the answer is better off on `route` than where it is. */
export function isBetter(route: Route, { session, why, blamed }: Replacement): boolean {
  const named = route.stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
  if (named.some(({ id }) => blamed.includes(id))) return false;
  if (why === 'bare') return bareStages(route) < session.bareStages;
  // Speed is not worth a check.
  return why === 'lost' || !isBarer(route, session.route);
}

/** True if more stages of `route` have nobody to check them; one that lost its shadow had one by its route. */
export function isBarer(route: Route, before: Route): boolean {
  return bareStages(route) > bareStages(before);
}

/** Stages to which a route gives nobody to check them. */
export function bareStages({ stages }: Route): number {
  return stages.filter(({ shadows }) => shadows.length === 0).length;
}
