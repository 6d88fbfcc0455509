import { SHADOWS_OF_UNPROVEN, STEADY_SHARE, SURPLUS_SHARE } from '#shared/draw/stage-draw.ts';
import { isExactClass } from '#shared/judge/numeric-class.ts';
import { MAX_SHADOWS } from '#shared/limits.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from './candidate.ts';
import type { Draw } from './draw.ts';
import { FAST_SLACK_MS, SHADOW_FACTOR, turnMs } from './pace.ts';

/**
 * The cost of a stage that cannot be checked as it should, in milliseconds: far above any latency, and less than two
 * stages on one network. A stage without any shadow is the worst; one whose rows would be of a class that nobody has
 * measured comes next, then a stage of unproven volunteers only; one shadow too few is the least.
 */
const BARE_MS = 3e5;
const UNMEASURED_MS = 2e5;
const ONLY_UNPROVEN_MS = 1.5e5;
const MISSING_SHADOW_MS = 2e4;

/** The volunteers of one very stage. */
interface Holders {
  readonly all: Candidate[];
  proven: number;
  hasExact: boolean;
}

/** Volunteers by the stage they hold: those of one stage can check each other. */
export class ShadowPool {
  readonly #demand: Demand;
  readonly #byStage = new Map<string, Holders>();

  constructor(demand: Demand, candidates: readonly Candidate[]) {
    this.#demand = demand;
    for (const candidate of candidates) {
      const holders = this.#byStage.get(keyOf(candidate.span)) ?? { all: [], proven: 0, hasExact: false };
      holders.all.push(candidate);
      if (isProven(candidate)) holders.proven += 1;
      holders.hasExact ||= candidate.isMeasured && isExactClass(candidate.numericClass);
      this.#byStage.set(keyOf(candidate.span), holders);
    }
  }

  /** How many shadows this primary should have. */
  wanted(primary: Candidate): number {
    const { shadows } = this.#demand;
    if (shadows === 0) return 0;
    return Math.min(MAX_SHADOWS, isProven(primary) ? shadows : Math.max(SHADOWS_OF_UNPROVEN, shadows));
  }

  /** True unless nobody has measured its class and a replica of an exact class can go first: it is that one's shadow then. */
  mayLead(candidate: Candidate): boolean {
    return candidate.isMeasured || this.#byStage.get(keyOf(candidate.span))?.hasExact !== true;
  }

  /** True if shadows are asked for and this primary could have none. */
  isBare(primary: Candidate): boolean {
    return this.wanted(primary) > 0 && this.#others(primary).count === 0;
  }

  /** The cost of a primary of this class with the shadows that it lacks. */
  costMs(primary: Candidate): number {
    const wanted = this.wanted(primary);
    const unmeasured = primary.isMeasured ? 0 : UNMEASURED_MS;
    if (wanted === 0) return unmeasured;
    const { count, proven } = this.#others(primary);
    if (count === 0) return unmeasured + BARE_MS;
    const isUnproven = !isProven(primary) && proven === 0;
    return unmeasured + Math.max(0, wanted - count) * MISSING_SHADOW_MS + (isUnproven ? ONLY_UNPROVEN_MS : 0);
  }

  /**
   * The shadows of a stage, drawn among those fast enough: of prefixes that the stage does not have yet where there are any, and
   * one at least that has proven itself where the primary has not. Now and then one of them must be steady, or there is one more.
   */
  pick(primary: Candidate, draw: Draw): Candidate[] {
    const wanted = this.wanted(primary);
    if (wanted === 0) return [];
    const holders = this.#byStage.get(keyOf(primary.span))?.all ?? [];
    const left = new Set(holders.filter((candidate) => candidate.id !== primary.id));
    const isReplacing = holders.some(({ isKept }) => isKept);
    const isFast = paceOf([primary, ...left]);
    const lots = draw.lots(left);
    const wantsSteady = draw.chance(STEADY_SHARE);
    const surplus = isProven(primary) && draw.chance(SURPLUS_SHARE) ? 1 : 0;
    const picked: Candidate[] = [];
    while (picked.length < Math.min(MAX_SHADOWS, wanted + surplus) && left.size > 0) {
      const stage = [primary, ...picked];
      const prefixes = new Set(stage.map((member) => member.prefix));
      const lacksProven = !stage.some(isProven);
      const lacksSteady = wantsSteady && !stage.some((member) => member.isSteady);
      const rank = (candidate: Candidate): number[] => [
        lacksProven && !isProven(candidate) ? 1 : 0,
        prefixes.has(candidate.prefix) ? 1 : 0,
        lacksSteady && !(candidate.isSteady && isFast(candidate)) ? 1 : 0,
        candidate.failedLately ? 1 : 0,
        candidate.isKept ? 0 : 1,
        isReplacing && !candidate.isSteady ? 1 : 0,
        isFast(candidate) ? lots.get(candidate)! : 1 + turnMs(candidate),
      ];
      const ranks = new Map([...left].map((candidate) => [candidate, rank(candidate)]));
      const next = [...left].reduce((best, one) => (isLess(ranks.get(one)!, ranks.get(best)!) ? one : best));
      // One more than there should be is no reason to take who is worse.
      if (picked.length >= wanted && (next.failedLately || !isFast(next))) break;
      picked.push(next);
      left.delete(next);
    }
    return picked;
  }

  /** Everybody else who holds its very stage. */
  #others(primary: Candidate): { count: number; proven: number } {
    const holders = this.#byStage.get(keyOf(primary.span));
    if (holders === undefined) return { count: 0, proven: 0 };
    return { count: holders.all.length - 1, proven: holders.proven - (isProven(primary) ? 1 : 0) };
  }
}

/** Notes for people about a route's stage and its shadows. That all volunteers share one prefix is said elsewhere. */
export function shadowNotes(
  stage: number,
  primary: Candidate,
  shadows: readonly Candidate[],
  wanted: number,
  hasOnePrefix: boolean,
): string[] {
  if (wanted === 0) return [];
  const notes: string[] = [];
  if (shadows.length < wanted) {
    const have = shadows.length === 0 ? 'no shadow' : `${shadows.length} of ${wanted} shadows`;
    notes.push(`stage ${stage + 1} has ${have}: no other volunteer was free for it`);
  }
  if (!hasOnePrefix && shadows.some((shadow) => shadow.prefix === primary.prefix)) {
    notes.push(`stage ${stage + 1} and its shadow share an address prefix`);
  }
  if (!primary.isMeasured) {
    notes.push(
      `stage ${stage + 1} computes in a class that nobody has measured: no volunteer of another was free for it`,
    );
  }
  if (shadows.length > 0 && [primary, ...shadows].every((member) => member.isNew)) {
    notes.push(`stage ${stage + 1} is run and checked by new volunteers only`);
  }
  return notes;
}

/** True for a trusted key of a class that is known. */
export function isProven({ isNew, isMeasured }: Candidate): boolean {
  return !isNew && isMeasured;
}

/** Whether a shadow keeps up, by the quickest replica of its stage. */
function paceOf(holders: readonly Candidate[]): (candidate: Candidate) => boolean {
  const limitMs = SHADOW_FACTOR * Math.min(...holders.map(turnMs)) + FAST_SLACK_MS;
  return (candidate) => turnMs(candidate) <= limitMs;
}

function keyOf({ start, end }: UnitSpan): string {
  return `${start}-${end}`;
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at !== -1 && a[at]! < b[at]!;
}
