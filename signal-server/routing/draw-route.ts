import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from './candidate.ts';
import type { Draw } from './draw.ts';
import { countShared, findRoute, SAME_PREFIX_MS } from './find-route.ts';
import { FAST_FACTOR, FAST_SLACK_MS, hopMs, predictedMs, turnMs } from './pace.ts';
import type { ShadowPool } from './shadows.ts';

/** Taken only where there is no other choice: far above any latency, and less than a stage that nobody could check. */
const FAILED_LATELY_MS = 1e5;
/** What a volunteer that goes on is preferred by: above any latency, and below what it costs a stage to be checked worse. */
const KEPT_MS = 1e4;
/** In the place of one who stalled the steady come first: else who brings many keys could stall one answer again and again. */
const UNSTEADY_MS = 5e3;
/** The same for a primary that is not fast enough, and the most that its own time adds to this. */
const SLOW_MS = 100;
const MAX_SLOW_MS = 1e3;
/** How much longer than the quickest a way of cutting the model may be predicted to take. */
const CUT_FACTOR = 1.25;
/** Ways of cutting the model that are tried before the quickest is taken, where prefixes forbid some. */
const MAX_CUTS = 8;

/** The volunteers that could be the primary of one stage. */
interface Stage {
  readonly span: UnitSpan;
  readonly leads: readonly Candidate[];
  /** The least that a primary here costs besides its time. */
  readonly penaltyMs: number;
  /** Of those that cost no more than that, those who are fast enough. */
  readonly fast: readonly Candidate[];
  /** What a lap may be expected to take here. */
  readonly meanMs: number;
  /** The groups of replicas that may be drawn. */
  readonly groups: number;
}

/** The way through the rest of the model. */
interface Rest {
  readonly costMs: number;
  readonly timeMs: number;
}

/** The routes that volunteers could make up, and one of them, drawn. */
export class RouteDraw {
  readonly #units: number;
  readonly #demand: Demand;
  readonly #stages: readonly Stage[];
  readonly #penalties: ReadonlyMap<Candidate, number>;
  readonly #quickest: readonly Candidate[] | null;

  constructor(units: number, demand: Demand, candidates: readonly Candidate[], pool: ShadowPool) {
    this.#units = units;
    this.#demand = demand;
    const leads = candidates.filter((candidate) => pool.mayLead(candidate));
    const isReplacing = candidates.some(({ isKept }) => isKept);
    const keptMs = ({ isKept, isSteady }: Candidate): number =>
      isKept ? -KEPT_MS : isReplacing && !isSteady ? UNSTEADY_MS : 0;
    this.#penalties = new Map(
      leads.map((lead) => [lead, pool.costMs(lead) + (lead.failedLately ? FAILED_LATELY_MS : 0) + keptMs(lead)]),
    );
    const bySpan = new Map<string, Candidate[]>();
    for (const lead of leads) {
      const key = `${lead.span.start}-${lead.span.end}`;
      const holders = bySpan.get(key);
      if (holders === undefined) bySpan.set(key, [lead]);
      else holders.push(lead);
    }
    this.#stages = [...bySpan.values()].map((holders) => this.#stageOf(holders, pool));
    const costs = this.#costs(this.#stages, predictedMs);
    const hop = (from: Candidate | undefined, to: Candidate) => hopMs(to.webrtc && (from ?? demand).webrtc);
    this.#quickest = findRoute(units, demand.minStages, costs, hop);
  }

  /** The route of least cost and time; null if there is none. */
  get quickest(): readonly Candidate[] | null {
    return this.#quickest;
  }

  /**
   * Primaries drawn among those fast enough, at no other cost than the least that there can be. Where the model can be cut in
   * several ways that take about as long, the cut is drawn too, stage by stage, by the number of groups that could compute it.
   */
  draw(draw: Draw): readonly Candidate[] | null {
    const quickest = this.#quickest;
    if (quickest === null) return null;
    const leastMs = this.#costOf(quickest);
    for (let i = 0; i < MAX_CUTS; i++) {
      const route = this.#drawOver(this.#drawCut(draw), draw);
      if (route !== null && this.#costOf(route) <= leastMs) return route;
    }
    const cut = quickest.map((lead) => this.#stages.find(({ leads }) => leads.includes(lead))!);
    return this.#drawOver(cut, draw) ?? quickest;
  }

  #stageOf(leads: readonly Candidate[], pool: ShadowPool): Stage {
    const penaltyMs = Math.min(...leads.map((lead) => this.#penalties.get(lead)!));
    const best = leads
      .filter((lead) => this.#penalties.get(lead) === penaltyMs)
      .map((lead) => ({ lead, ms: turnMs(lead) }));
    const limitMs = FAST_FACTOR * Math.min(...best.map(({ ms }) => ms)) + FAST_SLACK_MS;
    const fast = best.filter(({ ms }) => ms <= limitMs);
    return {
      span: leads[0]!.span,
      leads,
      penaltyMs,
      fast: fast.map(({ lead }) => lead),
      meanMs: fast.reduce((sum, { ms }) => sum + ms, 0) / fast.length,
      groups: countGroups(new Set(fast.map(({ lead }) => lead.prefix)).size, 1 + pool.wanted(fast[0]!.lead)),
    };
  }

  #costs(stages: readonly Stage[], ownMs: (lead: Candidate) => number): Map<Candidate, number> {
    return new Map(
      stages.flatMap(({ leads }) => leads.map((lead) => [lead, this.#penalties.get(lead)! + ownMs(lead)] as const)),
    );
  }

  /** A route over these stages, which are a cut of the model; who was not drawn is taken only where prefixes or faults leave nobody else. */
  #drawOver(stages: readonly Stage[], draw: Draw): readonly Candidate[] | null {
    const lots = new Map(stages.flatMap(({ fast }) => [...draw.lots(fast)]));
    const lowest = stages.map(({ fast }) => fast.reduce((low, one) => (lots.get(one)! < lots.get(low)! ? one : low)));
    if (countShared(lowest) === 0) return lowest;
    const costs = this.#costs(stages, (lead) => lots.get(lead) ?? SLOW_MS + Math.min(turnMs(lead), MAX_SLOW_MS));
    return findRoute(this.#units, this.#demand.minStages, costs, () => 0);
  }

  #drawCut(draw: Draw): readonly Stage[] {
    const rests = this.#rests();
    const { minStages } = this.#demand;
    const quickest = rests[0]![minStages]!;
    const limitMs = quickest.costMs + (CUT_FACTOR - 1) * quickest.timeMs;
    const cut: Stage[] = [];
    let spentMs = 0;
    for (let unit = 0; unit < this.#units; unit = cut.at(-1)!.span.end) {
      const after = ({ span }: Stage) => rests[span.end]![Math.max(0, minStages - cut.length - 1)]!;
      const next = this.#stages.filter(
        (stage) => stage.span.start === unit && spentMs + costOf(stage) + after(stage).costMs <= limitMs + ROUNDING_MS,
      );
      const stage = draw.weighted(next, ({ groups }) => groups);
      spentMs += costOf(stage);
      cut.push(stage);
    }
    return cut;
  }

  /** For each unit, and each number of stages that are still to come at least, the best way through the rest of the model. */
  #rests(): Rest[][] {
    const { minStages } = this.#demand;
    const none = { costMs: Infinity, timeMs: Infinity };
    const rests: Rest[][] = Array.from({ length: this.#units + 1 }, () => Array(minStages + 1).fill(none) as Rest[]);
    rests[this.#units]![0] = { costMs: 0, timeMs: 0 };
    const stages = [...this.#stages].sort((a, b) => b.span.start - a.span.start);
    for (const stage of stages) {
      const here = rests[stage.span.start]!;
      for (let least = 0; least <= minStages; least++) {
        const rest = rests[stage.span.end]![Math.max(0, least - 1)]!;
        const costMs = costOf(stage) + rest.costMs;
        if (costMs < here[least]!.costMs) here[least] = { costMs, timeMs: stage.meanMs + rest.timeMs };
      }
    }
    return rests;
  }

  /** The cost of a route besides its time. */
  #costOf(route: readonly Candidate[]): number {
    return countShared(route) * SAME_PREFIX_MS + route.reduce((sum, lead) => sum + this.#penalties.get(lead)!, 0);
  }
}

/** Sums in another order may differ in their last bits. */
const ROUNDING_MS = 1e-6;

function costOf({ penaltyMs, meanMs }: Stage): number {
  return penaltyMs + meanMs;
}

/** The ways of drawing so many replicas, of another prefix each, in turn; of too few prefixes those that there are. */
function countGroups(prefixes: number, replicas: number): number {
  let groups = 1;
  for (let i = 0; i < Math.min(prefixes, replicas); i++) groups *= prefixes - i;
  return groups;
}
