import { MAX_SHADOWS } from '#shared/limits.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from './candidate.ts';

/**
 * The cost of a stage that cannot be checked as it should, in milliseconds: far above any latency, and less than two
 * stages on one network. A stage without any shadow is the worst; a stage of new keys only
 * comes next; one shadow too few is the least.
 */
const BARE_MS = 3e5;
const ONLY_NEW_MS = 1.5e5;
const MISSING_SHADOW_MS = 2e4;
/** A key with this standing gets two shadows where there are that many. */
const SHADOWS_OF_NEW = 2;

interface Holders {
  readonly all: Candidate[];
  notNew: number;
}

/** Volunteers by the stage they hold: those of one stage can check each other. */
export class ShadowPool {
  readonly #demand: Demand;
  readonly #byStage = new Map<string, Holders>();

  constructor(demand: Demand, candidates: readonly Candidate[]) {
    this.#demand = demand;
    for (const candidate of candidates) {
      const holders = this.#byStage.get(keyOf(candidate.span)) ?? { all: [], notNew: 0 };
      holders.all.push(candidate);
      if (!candidate.isNew) holders.notNew += 1;
      this.#byStage.set(keyOf(candidate.span), holders);
    }
  }

  /** How many shadows this primary should have. */
  wanted(primary: Candidate): number {
    const { shadows } = this.#demand;
    if (shadows === 0) return 0;
    return Math.min(MAX_SHADOWS, primary.isNew ? Math.max(SHADOWS_OF_NEW, shadows) : shadows);
  }

  /** True if shadows are asked for and this primary could have none. */
  isBare(primary: Candidate): boolean {
    return this.wanted(primary) > 0 && this.#others(primary).count === 0;
  }

  /** The cost of the shadows that this primary lacks. */
  costMs(primary: Candidate): number {
    const wanted = this.wanted(primary);
    if (wanted === 0) return 0;
    const { count, notNew } = this.#others(primary);
    if (count === 0) return BARE_MS;
    const isOnlyNew = primary.isNew && notNew === 0;
    return Math.max(0, wanted - count) * MISSING_SHADOW_MS + (isOnlyNew ? ONLY_NEW_MS : 0);
  }

  /**
   * The shadows of a stage, the cheapest first: of prefixes that the stage does not have yet where there are any, and of
   * one key at least that is not new where the primary is.
   */
  pick(primary: Candidate, costMs: (candidate: Candidate) => number): Candidate[] {
    const picked: Candidate[] = [];
    const holders = this.#byStage.get(keyOf(primary.span))?.all ?? [];
    const left = new Set(holders.filter((candidate) => candidate.id !== primary.id));
    while (picked.length < this.wanted(primary) && left.size > 0) {
      const prefixes = new Set([primary, ...picked].map((member) => member.prefix));
      const lacksProven = [primary, ...picked].every((member) => member.isNew);
      const rank = (candidate: Candidate): number[] => [
        lacksProven && candidate.isNew ? 1 : 0,
        prefixes.has(candidate.prefix) ? 1 : 0,
        costMs(candidate),
      ];
      const next = [...left].reduce((best, candidate) => (isLess(rank(candidate), rank(best)) ? candidate : best));
      picked.push(next);
      left.delete(next);
    }
    return picked;
  }

  /** Everybody else who holds its very stage. */
  #others(primary: Candidate): { count: number; notNew: number } {
    const holders = this.#byStage.get(keyOf(primary.span));
    if (holders === undefined) return { count: 0, notNew: 0 };
    return { count: holders.all.length - 1, notNew: holders.notNew - (primary.isNew ? 0 : 1) };
  }
}

/** Notes for people about the shadows of a route's stage. That all volunteers share one prefix is said elsewhere. */
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
  if (shadows.length > 0 && [primary, ...shadows].every((member) => member.isNew)) {
    notes.push(`stage ${stage + 1} is run and checked by new volunteers only`);
  }
  return notes;
}

function keyOf({ start, end }: UnitSpan): string {
  return `${start}-${end}`;
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at !== -1 && a[at]! < b[at]!;
}
