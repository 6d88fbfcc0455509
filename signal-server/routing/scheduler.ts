import { coverageOf, describeSpan, firstGap, type UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from './candidate.ts';
import { ShadowPool, shadowNotes } from './shadows.ts';

/** The time that a hop adds to a lap, in milliseconds, besides the stage's own work: guesses until links report theirs. */
const DIRECT_HOP_MS = 10;
const RELAY_HOP_MS = 20;
/** Penalties in milliseconds, far above any latency: taken only where there is no other choice. */
const SAME_PREFIX_MS = 1e6;
const FAILED_LATELY_MS = 1e5;
/** What a volunteer that goes on is preferred by: above any latency, and below what it costs a stage to be checked worse. */
const KEPT_MS = 1e4;
/** Hidden tabs may be slowed down by their browser. */
const HIDDEN_FACTOR = 1.5;
/** Partial routes kept per step of the search, and volunteers looked at for each stage. */
const MAX_PARTIAL_ROUTES = 64;
const MAX_PER_STAGE = 16;

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

/**
 * The route of lowest predicted latency over the volunteers with a free slot, of at least `minStages` stages, over as
 * many address prefixes as there are, with shadows for as many stages as there can be, without the requester itself; or
 * why there is none.
 */
export function planRoute(layers: number, demand: Demand, candidates: readonly Candidate[]): Planned {
  const units = layers + 2;
  // No peer has a link to itself.
  const present = candidates.filter(({ id }) => id !== demand.requester && !demand.exclude.has(id));
  const ready = present.filter((candidate) => candidate.isReady);
  const free = ready.filter((candidate) => candidate.freeSlots > 0);
  const pool = new ShadowPool(demand, free);
  const primaries = findRoute(units, demand, free, pool);
  if (primaries === null) {
    const isLater = [ready, present].some((some) => findRoute(units, demand, some, new ShadowPool(demand, some)));
    return isLater ? { type: 'wait' } : refuse(layers, demand, ready, candidates);
  }
  const bare = countBare(primaries, pool);
  const lacksBusyShadows = bare > 0 && leastBare(units, demand, present) < bare;
  return withShadows(primaries, free, pool, lacksBusyShadows);
}

/** Stages that would have no shadow if all were ready and nobody busy. */
function leastBare(units: number, demand: Demand, present: readonly Candidate[]): number {
  const pool = new ShadowPool(demand, present);
  const primaries = findRoute(units, demand, present, pool);
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
  const most = findRoute(layers + 2, { ...demand, minStages: 1 }, ready, new ShadowPool(demand, []))?.length ?? 0;
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

interface PartialRoute {
  readonly stages: readonly Candidate[];
  readonly costMs: number;
}

/** Walks the model from its first unit to its last, keeping for each number of stages and set of prefixes the cheapest way there. */
function findRoute(
  units: number,
  demand: Demand,
  candidates: readonly Candidate[],
  pool: ShadowPool,
): Candidate[] | null {
  const reached = Array.from({ length: units + 1 }, () => new Map<string, PartialRoute>());
  reached[0]!.set('', { stages: [], costMs: 0 });
  const costs = new Map(candidates.map((candidate) => [candidate, ownMs(candidate) + pool.costMs(candidate)]));
  const considered = cheapestOfEachStage(candidates, costs);
  for (let unit = 0; unit < units; unit++) {
    const next = considered.filter((candidate) => candidate.span.start === unit);
    const cheapest = [...reached[unit]!.values()].sort((a, b) => a.costMs - b.costMs).slice(0, MAX_PARTIAL_ROUTES);
    for (const route of cheapest) {
      for (const candidate of next) {
        const longer = {
          stages: [...route.stages, candidate],
          costMs: route.costMs + costs.get(candidate)! + hopMs(demand, route, candidate),
        };
        const key = routeKey(longer.stages, demand.minStages);
        const known = reached[candidate.span.end]!.get(key);
        if (known === undefined || longer.costMs < known.costMs) reached[candidate.span.end]!.set(key, longer);
      }
    }
  }
  const whole = [...reached[units]!.values()].filter((route) => route.stages.length >= demand.minStages);
  whole.sort((a, b) => a.costMs - b.costMs || a.stages.length - b.stages.length);
  return whole[0] === undefined ? null : [...whole[0].stages];
}

/** Of those that would do equally well for a stage (same span, prefix and reach), the cheapest; and not too many of these. */
function cheapestOfEachStage(candidates: readonly Candidate[], costs: ReadonlyMap<Candidate, number>): Candidate[] {
  const seen = new Map<string, Set<string>>();
  return [...candidates]
    .sort((a, b) => costs.get(a)! - costs.get(b)!)
    .filter(({ span, prefix, webrtc }) => {
      const stage = `${span.start}-${span.end}`;
      const kinds = seen.get(stage) ?? new Set();
      seen.set(stage, kinds);
      const kind = `${webrtc} ${prefix}`;
      if (kinds.has(kind) || kinds.size >= MAX_PER_STAGE) return false;
      kinds.add(kind);
      return true;
    });
}

function routeKey(stages: readonly Candidate[], minStages: number): string {
  const prefixes = [...new Set(stages.map((stage) => stage.prefix))].sort();
  return `${Math.min(stages.length, minStages)} ${prefixes.join(' ')}`;
}

/** The cost of going on from a route to this volunteer. */
function hopMs(demand: Demand, route: PartialRoute, candidate: Candidate): number {
  const previous = route.stages.at(-1);
  const isDirect = candidate.webrtc && (previous?.webrtc ?? demand.webrtc);
  const isNear = route.stages.some((stage) => stage.prefix === candidate.prefix);
  return (isDirect ? DIRECT_HOP_MS : RELAY_HOP_MS) + (isNear ? SAME_PREFIX_MS : 0);
}

/** The cost of a volunteer wherever it stands in a route. */
function ownMs(candidate: Candidate): number {
  const { failedLately, isKept = false } = candidate;
  return predictedMs(candidate) + (failedLately ? FAILED_LATELY_MS : 0) - (isKept ? KEPT_MS : 0);
}

/** Milliseconds for one token: its units one after the other, in turn with the sessions it already runs. */
function predictedMs(candidate: Candidate): number {
  const units = candidate.span.end - candidate.span.start;
  return candidate.layerMs * units * (1 + candidate.running) * (candidate.isHidden ? HIDDEN_FACTOR : 1);
}

function withShadows(
  primaries: readonly Candidate[],
  free: readonly Candidate[],
  pool: ShadowPool,
  lacksBusyShadows: boolean,
): Planned {
  const notes: string[] = [];
  const prefixes = new Set(primaries.map((primary) => primary.prefix));
  const hasOnePrefix = prefixes.size === 1 && new Set(free.map((candidate) => candidate.prefix)).size === 1;
  if (hasOnePrefix) {
    notes.push('all volunteers share one address prefix, so the route cannot spread over networks');
  } else if (prefixes.size < primaries.length) {
    notes.push('some stages share an address prefix: no other volunteers were free for them');
  }
  // No two stages of a route hold the same layers, so they never compete for a shadow.
  const stages = primaries.map((primary, stage) => {
    const shadows = pool.pick(primary, ownMs);
    notes.push(...shadowNotes(stage, primary, shadows, pool.wanted(primary), hasOnePrefix));
    return { primary, shadows, predictedMs: predictedMs(primary) };
  });
  return { type: 'route', stages, notes: notes.slice(0, 16), lacksBusyShadows };
}
