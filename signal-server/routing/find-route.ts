import type { Candidate, Demand } from './candidate.ts';

/** The cost in milliseconds of two stages on one network, far above any latency: taken only where there is no other choice. */
export const SAME_PREFIX_MS = 1e6;
/** Partial routes kept per step of the search, and volunteers looked at for each stage. */
const MAX_PARTIAL_ROUTES = 64;
const MAX_PER_STAGE = 16;

interface PartialRoute {
  readonly stages: readonly Candidate[];
  readonly costMs: number;
}

/**
 * The cheapest primaries, by the cost of each, of the hops between them, and of two stages of one prefix: walks the model from its first unit to
 * its last, keeping for each number of stages and set of prefixes the cheapest way there. Null if there is no way.
 */
export function findRoute(
  units: number,
  minStages: Demand['minStages'],
  costs: ReadonlyMap<Candidate, number>,
  hopMs: (from: Candidate | undefined, to: Candidate) => number,
): Candidate[] | null {
  const reached = Array.from({ length: units + 1 }, () => new Map<string, PartialRoute>());
  reached[0]!.set('', { stages: [], costMs: 0 });
  const considered = cheapestOfEachStage(costs);
  for (let unit = 0; unit < units; unit++) {
    const next = considered.filter((candidate) => candidate.span.start === unit);
    const cheapest = [...reached[unit]!.values()].sort((a, b) => a.costMs - b.costMs).slice(0, MAX_PARTIAL_ROUTES);
    for (const route of cheapest) {
      for (const candidate of next) {
        const isNear = route.stages.some((stage) => stage.prefix === candidate.prefix);
        const hop = hopMs(route.stages.at(-1), candidate) + (isNear ? SAME_PREFIX_MS : 0);
        const longer = { stages: [...route.stages, candidate], costMs: route.costMs + costs.get(candidate)! + hop };
        const key = routeKey(longer.stages, minStages);
        const known = reached[candidate.span.end]!.get(key);
        if (known === undefined || longer.costMs < known.costMs) reached[candidate.span.end]!.set(key, longer);
      }
    }
  }
  const whole = [...reached[units]!.values()].filter((route) => route.stages.length >= minStages);
  whole.sort((a, b) => a.costMs - b.costMs || a.stages.length - b.stages.length);
  return whole[0] === undefined ? null : [...whole[0].stages];
}

/** Stages on a network that one before them is on. */
export function countShared(stages: readonly Candidate[]): number {
  return stages.length - new Set(stages.map((stage) => stage.prefix)).size;
}

/** Of those that would do equally well for a stage (same span, prefix and reach), the cheapest; and not too many of these. */
function cheapestOfEachStage(costs: ReadonlyMap<Candidate, number>): Candidate[] {
  const seen = new Map<string, Set<string>>();
  return [...costs.keys()]
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
