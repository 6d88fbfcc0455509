import type { Digest, PeerId } from '#shared/ids.ts';
import {
  gainedBy,
  heaviestUnit,
  samePlace,
  spansOn,
  spansThatFit,
  supplyOf,
  type Choice,
  type Hand,
  type Placed,
  type Supply,
} from './placement.ts';
import { NetworkShares } from './place-lots.ts';
import type { PlannedModel } from './planned-model.ts';
import { StageCounts } from './stage-counts.ts';
import { coverageOf, type UnitSpan } from './stage-grid.ts';

export interface Move extends Choice {
  readonly id: PeerId;
}

/**
 * The moves to make now, few and rare. While a model has a gap: the one move that closes most of it and opens none or, where
 * no single move helps, all that a fresh plan needs, if that leaves no gap. One that was asked for lately takes what it needs
 * for that, and for its pairs, from those that nobody asked for. Without gaps: one move that gives a stage its second holder,
 * or all that those asked for need;
 * else one to layers with at most half as many volunteers as those it leaves, and at least two fewer. Nobody with sessions is
 * moved, nobody on behalf of a model that these devices cannot hold, no ready cover is given up, no pair but to close a gap, and
 * no network gets more than its share of a stage but for that.
 */
export function chooseMoves(
  hands: readonly Hand[],
  models: readonly PlannedModel[],
  asked: ReadonlySet<Digest> = new Set(),
): Move[] {
  // What is asked for comes first.
  const possible = models
    .filter((model) => heaviestUnit(model, hands) === null)
    .sort((a, b) => Number(asked.has(b.digest)) - Number(asked.has(a.digest)));
  for (const model of possible) {
    const hasGap = coverageOf(spansOn(model, hands), model.units).includes(0);
    const moves = hasGap ? closeGap(model, hands, asked) : [];
    if (moves.length > 0) return moves;
  }
  if (!hands.every((hand) => hand.placed === null || hand.isReady)) return [];
  const pairs = pairAll(hands, possible, asked);
  if (pairs.length > 0) return pairs;
  const move = evenOut(hands, possible, new NetworkShares(hands), asked);
  return move === null ? [] : [move];
}

/** One move that makes up a pair or, of models that were asked for, all that their pairs need: else each would wait for the last one's load. */
function pairAll(hands: readonly Hand[], models: readonly PlannedModel[], asked: ReadonlySet<Digest>): Move[] {
  const moves: Move[] = [];
  let all = hands;
  for (;;) {
    const move = pairUp(all, models, new NetworkShares(all), asked);
    if (move === null || (moves.length > 0 && !asked.has(move.model))) return moves;
    moves.push(move);
    if (!asked.has(move.model)) return moves;
    all = all.map((hand) => (hand.id === move.id ? { ...hand, placed: move, mayMove: false } : hand));
  }
}

/** True for a volunteer on a model that nobody asked for, where others were. */
function isFree(placed: Placed | null, asked: ReadonlySet<Digest>): boolean {
  return placed !== null && !asked.has(placed.model);
}

function closeGap(model: PlannedModel, hands: readonly Hand[], asked: ReadonlySet<Digest>): Move[] {
  const reason = 'nobody held these layers';
  const own = hands.filter(({ placed }) => placed?.model === model.digest);
  const heldNow = countCovered(spansOn(model, own), model.units);
  let best: { move: Move; covered: number } | null = null;
  for (const hand of own.filter(({ mayMove }) => mayMove)) {
    const rest = spansOn(
      model,
      own.filter((other) => other !== hand),
    );
    // Whoever alone holds some layers would leave them to nobody.
    if (countCovered(rest, model.units) < heldNow) continue;
    for (const span of spansThatFit(hand, model)) {
      const covered = countCovered([...rest, span], model.units);
      if (covered > (best?.covered ?? heldNow))
        best = { move: { id: hand.id, model: model.digest, span, reason }, covered };
    }
  }
  if (best !== null) return [best.move];
  const afresh = planAfresh(model, own);
  const free = asked.has(model.digest) ? hands.filter(({ placed }) => isFree(placed, asked)) : [];
  const plan = afresh.length > 0 || free.length === 0 ? afresh : planAfresh(model, [...own, ...free]);
  return plan
    .filter(({ hand, span }) => !samePlace(hand.placed, { model: model.digest, span }))
    .map(({ hand, span }) => ({ id: hand.id, model: model.digest, span, reason }));
}

/** A placement of these volunteers from nothing, the largest device first; empty if that would leave a gap too. */
function planAfresh(model: PlannedModel, hands: readonly Hand[]): { hand: Hand; span: UnitSpan }[] {
  const fixed = spansOn(
    model,
    hands.filter((hand) => !hand.mayMove),
  );
  const free = hands
    .filter((hand) => hand.mayMove)
    .map((hand) => ({ hand, spans: spansThatFit(hand, model) }))
    .sort((a, b) => a.spans.length - b.spans.length)
    .reverse();
  const plan: { hand: Hand; span: UnitSpan }[] = [];
  const spans = [...fixed];
  for (const { hand, spans: fitting } of free) {
    const coverage = coverageOf(spans, model.units);
    const gain = (span: UnitSpan): number => gainedBy(span, coverage);
    const stay = (span: UnitSpan): number => (samePlace(hand.placed, { model: model.digest, span }) ? 1 : 0);
    const span = [...fitting].sort((a, b) => gain(b) - gain(a) || stay(b) - stay(a))[0];
    if (span === undefined || gain(span) === 0) continue;
    plan.push({ hand, span });
    spans.push(span);
  }
  return countCovered(spans, model.units) === model.units ? plan : [];
}

/** The move that leaves fewest units without two holders of one stage. It takes nothing from a stage that needs it. */
function pairUp(
  hands: readonly Hand[],
  models: readonly PlannedModel[],
  shares: NetworkShares,
  asked: ReadonlySet<Digest>,
): Move | null {
  const reason = 'only one other volunteer held just these layers, and two are needed to check each other';
  for (const model of models) {
    const counts = new StageCounts(spansOn(model, hands));
    const now = counts.lacks(model.units);
    if (now.unpaired === 0) continue;
    let best: { move: Move; unpaired: number } | null = null;
    // Two volunteers that could make the same move are as good as one.
    const tried = new Set<string>();
    for (const { hand, from } of movable(hands)) {
      const isOwn = from.model === model.digest;
      if (!isOwn && !(asked.has(model.digest) && isFree(from, asked))) continue;
      for (const span of spansThatFit(hand, model)) {
        const way = `${from.model} ${from.span.start}-${from.span.end} ${span.start}-${span.end}`;
        if (tried.has(way) || !shares.admits(hand, { model: model.digest, span })) continue;
        tried.add(way);
        const after = counts.moved(isOwn ? from.span : null, span).lacks(model.units);
        if (after.uncovered > now.uncovered || after.unpaired >= (best?.unpaired ?? now.unpaired)) continue;
        best = { move: { id: hand.id, model: model.digest, span, reason }, unpaired: after.unpaired };
      }
    }
    if (best !== null) return best.move;
  }
  return null;
}

function evenOut(
  hands: readonly Hand[],
  models: readonly PlannedModel[],
  shares: NetworkShares,
  asked: ReadonlySet<Digest>,
): Move | null {
  const supplies = new Map(models.map((model) => [model, supplyOf(model, hands)]));
  const least = (model: PlannedModel | undefined, span: UnitSpan): number =>
    model === undefined ? Infinity : Math.min(...supplies.get(model)!.coverage.slice(span.start, span.end));
  let best: { move: Move; lift: number } | null = null;
  for (const { hand, from } of movable(hands)) {
    const home = models.find((model) => model.digest === from.model);
    const leaves = least(home, from.span);
    for (const model of models) {
      if (asked.has(from.model) && !asked.has(model.digest)) continue;
      for (const span of spansThatFit(hand, model)) {
        const overlaps = model === home && span.start < from.span.end && from.span.start < span.end;
        const lift = leaves - least(model, span);
        const isClear = lift >= 2 && 2 * least(model, span) <= leaves;
        if (overlaps || !isClear || lift <= (best?.lift ?? 0)) continue;
        if (breaksPair(supplies, { model: home, span: from.span }, { model, span })) continue;
        if (!shares.admits(hand, { model: model.digest, span })) continue;
        const reason = 'these layers had the fewest volunteers';
        best = { move: { id: hand.id, model: model.digest, span, reason }, lift };
      }
    }
  }
  return best?.move ?? null;
}

/** True if a move would leave more units without two holders of one stage, and close no gap for it. */
function breaksPair(
  supplies: ReadonlyMap<PlannedModel, Supply>,
  from: { model: PlannedModel | undefined; span: UnitSpan },
  to: { model: PlannedModel; span: UnitSpan },
): boolean {
  const sums = { uncovered: 0, unpaired: 0 };
  for (const [model, { counts }] of supplies) {
    if (model !== from.model && model !== to.model) continue;
    const moved = counts.moved(model === from.model ? from.span : null, model === to.model ? to.span : null);
    const [before, after] = [counts.lacks(model.units), moved.lacks(model.units)];
    sums.uncovered += after.uncovered - before.uncovered;
    sums.unpaired += after.unpaired - before.unpaired;
  }
  return sums.uncovered > 0 || (sums.uncovered === 0 && sums.unpaired > 0);
}

function movable(hands: readonly Hand[]): { hand: Hand; from: Placed }[] {
  return hands.flatMap((hand) =>
    hand.mayMove && hand.isReady && hand.placed !== null ? [{ hand, from: hand.placed }] : [],
  );
}

function countCovered(spans: readonly UnitSpan[], units: number): number {
  return coverageOf(spans, units).filter((count) => count > 0).length;
}
