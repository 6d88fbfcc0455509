import { coverageOf, describeSpan, firstGap, type UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from './candidate.ts';
import { RouteDraw } from './draw-route.ts';
import type { Draw } from './draw.ts';
import { predictedMs } from './pace.ts';
import { ShadowPool, shadowNotes } from './shadows.ts';

export interface PlannedStage {
  readonly primary: Candidate;
  readonly shadows: readonly Candidate[];
  readonly predictedMs: number;
}

export type Planned =
  | {
      readonly type: 'route';
      readonly stages: readonly PlannedStage[];
      readonly notes: readonly string[];
      /** True if more of its stages could be checked by volunteers that are only busy or loading. */
      readonly lacksBusyShadows: boolean;
    }
  /** There will be a route when a slot is free or a stage has loaded. */
  | { readonly type: 'wait' }
  | {
      readonly type: 'refused';
      readonly code: 'no-coverage' | 'too-few-volunteers';
      readonly message: string;
      /** Layers, for the page. */
      readonly missing: { readonly start: number; readonly end: number } | null;
    };

export const ONE_PREFIX_NOTE = 'all volunteers share one address prefix, so the route cannot spread over networks';

/** True on one machine or one local network, where rules about networks rest. */
export function sharesOnePrefix(candidates: readonly Candidate[]): boolean {
  return new Set(candidates.map((candidate) => candidate.prefix)).size === 1;
}

/**
 * A route over volunteers with a free slot, drawn among those fast enough: of at least `minStages` stages, over as many address
 * prefixes as there can be, with shadows for as many stages as there can be, without the requester itself; or why there is none.
 */
export function planRoute(layers: number, demand: Demand, candidates: readonly Candidate[], draw: Draw): Planned {
  const units = layers + 2;
  const hasOnePrefix = sharesOnePrefix(candidates);
  // No peer has a link to itself.
  const present = candidates
    .filter(({ id }) => id !== demand.requester && !demand.exclude.has(id))
    .map((candidate) => (hasOnePrefix ? { ...candidate, prefix: candidate.id } : candidate));
  const tried = present.filter((candidate) => candidate.isTried);
  const ready = tried.filter((candidate) => candidate.isReady);
  const free = ready.filter((candidate) => candidate.freeSlots > 0);
  const pool = new ShadowPool(demand, free);
  const primaries = new RouteDraw(units, demand, free, pool).draw(draw);
  if (primaries === null) {
    const isLater = [ready, present].some((some) => quickestOf(units, demand, some) !== null);
    return isLater ? { type: 'wait' } : refuse(layers, demand, ready, candidates);
  }
  const bare = countBare(primaries, pool);
  // Who has not been measured yet may never be, so nobody waits for it.
  const lacksBusyShadows = bare > 0 && leastBare(units, demand, tried) < bare;
  return withShadows(primaries, pool, draw, { hasOnePrefix, lacksBusyShadows });
}

function quickestOf(units: number, demand: Demand, candidates: readonly Candidate[]): readonly Candidate[] | null {
  return new RouteDraw(units, demand, candidates, new ShadowPool(demand, candidates)).quickest;
}

/** Stages that would have no shadow if all were ready and nobody busy. */
function leastBare(units: number, demand: Demand, present: readonly Candidate[]): number {
  const pool = new ShadowPool(demand, present);
  const primaries = new RouteDraw(units, demand, present, pool).quickest;
  return primaries === null ? Infinity : countBare(primaries, pool);
}

function countBare(primaries: readonly Candidate[], pool: ShadowPool): number {
  return primaries.filter((primary) => pool.isBare(primary)).length;
}

function refuse(layers: number, demand: Demand, ready: readonly Candidate[], all: readonly Candidate[]): Planned {
  const gapOf = (some: readonly Candidate[]): UnitSpan | null =>
    firstGap(
      coverageOf(
        some.map((candidate) => candidate.span),
        layers + 2,
      ),
    );
  const gap = gapOf(all.filter((candidate) => candidate.isReady));
  if (gap !== null) return noCoverage(layers, gap, `no volunteer holds ${describeSpan(gap, layers)}`);
  const unusable = gapOf(ready);
  if (unusable !== null) {
    const words = describeSpan(unusable, layers);
    return noCoverage(layers, unusable, `only volunteers that cannot be used for this answer hold ${words}`);
  }
  const most = quickestOf(layers + 2, { ...demand, minStages: 1, shadows: 0 }, ready)?.length ?? 0;
  const message =
    most === 0
      ? 'volunteers hold every layer, but their stages do not join to a route yet'
      : `a route needs at least ${demand.minStages} stages on different volunteers; there are volunteers for ${most}`;
  return { type: 'refused', code: 'too-few-volunteers', message, missing: null };
}

function noCoverage(layers: number, gap: UnitSpan, message: string): Planned {
  const missing = { start: Math.max(0, gap.start - 1), end: Math.min(layers, gap.end - 1) };
  return { type: 'refused', code: 'no-coverage', message, missing };
}

function withShadows(
  primaries: readonly Candidate[],
  pool: ShadowPool,
  draw: Draw,
  { hasOnePrefix, lacksBusyShadows }: { readonly hasOnePrefix: boolean; readonly lacksBusyShadows: boolean },
): Planned {
  const notes: string[] = [];
  const prefixes = new Set(primaries.map((primary) => primary.prefix));
  if (hasOnePrefix) {
    notes.push(ONE_PREFIX_NOTE);
  } else if (prefixes.size < primaries.length) {
    notes.push('some stages share an address prefix: no other volunteers were free for them');
  }
  // No two stages of a route hold the same layers, so they never compete for a shadow.
  const stages = primaries.map((primary, stage) => {
    const shadows = pool.pick(primary, draw);
    notes.push(...shadowNotes(stage, primary, shadows, pool.wanted(primary), hasOnePrefix));
    return { primary, shadows, predictedMs: predictedMs(primary) };
  });
  return { type: 'route', stages, notes: notes.slice(0, 16), lacksBusyShadows };
}
