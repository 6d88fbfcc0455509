import type { Digest, PeerId } from '#shared/ids.ts';
import type { PlannedModel } from './planned-model.ts';
import { coverageOf, type Span } from './stage-grid.ts';
import type { Backend } from './stage-memory.ts';

/** A stage slower than this per token is handed out only where nobody else would hold its layers. */
const SLOW_STAGE_MS = 250;

export interface Placed {
  readonly model: Digest;
  readonly span: Span;
}

/** A volunteer as placement sees it. */
export interface Hand {
  readonly id: PeerId;
  readonly backend: Backend;
  readonly runtimeVersion: string;
  readonly pledgeBytes: number;
  readonly slots: number;
  readonly layerMs: number | null;
  /** Stages it has on disk, best first. */
  readonly held: readonly Placed[];
  /** Stages it failed to load: it gets none of that size again. */
  readonly failed: readonly Placed[];
  /** What it runs or is loading. */
  readonly placed: Placed | null;
  readonly isReady: boolean;
  /** False while it has sessions or was moved a moment ago. */
  readonly mayMove: boolean;
}

export interface Choice extends Placed {
  /** For people. */
  readonly reason: string;
}

/**
 * Work for a volunteer that has none: where coverage is thinnest, the largest stage that fits. Stages it already has
 * on disk win unless another would close a gap that they would not. Null if nothing fits, which `whyIdle` explains.
 */
export function choosePlace(hand: Hand, others: readonly Hand[], models: readonly PlannedModel[]): Choice | null {
  const options = models.flatMap((model) => {
    const coverage = coverageOf(spansOn(model, others), model.units);
    return spansThatFit(hand, model).map((span) => rate(hand, model, span, coverage));
  });
  const bestOfEach = models.flatMap(
    (model) => options.filter((option) => option.model === model.digest).sort(compareSpans)[0] ?? [],
  );
  const best = bestOfEach.sort(compareModels)[0];
  if (best === undefined) return null;
  const held = hand.held
    .map((place) => options.find((option) => samePlace(option, place)))
    .find((option) => option !== undefined && (best.gained === 0 || option.gained === best.gained));
  const { model, span, gained } = held ?? best;
  if (held !== undefined) return { model, span, reason: 'you already have these layers' };
  return { model, span, reason: gained > 0 ? 'nobody held these layers' : 'these layers had the fewest volunteers' };
}

/** Why there is no work that this volunteer could do. */
export function whyIdle(hand: Hand, models: readonly PlannedModel[]): string {
  if (models.length === 0) return 'this server has no model yet';
  const usable = models.filter((model) => model.runtimeVersion === hand.runtimeVersion);
  if (usable.length === 0) {
    const wanted = [...new Set(models.map((model) => model.runtimeVersion))].join(' or ');
    return `the models here need onnxruntime-web ${wanted}, this volunteer runs ${hand.runtimeVersion}: reload the page`;
  }
  const least = Math.min(
    ...usable.flatMap((model) => model.grid.map((span) => model.memoryBytes(span, hand.backend, hand.slots))),
  );
  if (least > hand.pledgeBytes) return `the smallest stage needs ${Math.ceil(least / 2 ** 20)} MiB: lend more memory`;
  return 'every stage that would fit has failed on this device';
}

/**
 * The moves to make now, few and rare. While a model has a gap: the one move that closes most of it or, where no
 * single move helps, all that a fresh plan needs. Without gaps: one move to layers with at most half as many volunteers
 * as those it leaves, and at least two fewer. Nobody with sessions is moved, and no ready cover is given up.
 */
export function chooseMoves(hands: readonly Hand[], models: readonly PlannedModel[]): (Choice & { id: PeerId })[] {
  for (const model of models) {
    const hasGap = coverageOf(spansOn(model, hands), model.units).includes(0);
    const moves = hasGap ? closeGap(model, hands) : [];
    if (moves.length > 0) return moves;
  }
  const isSettled = hands.every((hand) => hand.placed === null || hand.isReady);
  const move = isSettled ? evenOut(hands, models) : null;
  return move === null ? [] : [move];
}

function closeGap(model: PlannedModel, hands: readonly Hand[]): (Choice & { id: PeerId })[] {
  const reason = 'nobody held these layers';
  const heldNow = countCovered(spansOn(model, hands), model.units);
  let best: { move: Choice & { id: PeerId }; covered: number } | null = null;
  const movable = hands.filter((hand) => hand.mayMove && hand.placed?.model === model.digest);
  for (const hand of movable) {
    const rest = spansOn(
      model,
      hands.filter((other) => other !== hand),
    );
    for (const span of spansThatFit(hand, model)) {
      const covered = countCovered([...rest, span], model.units);
      if (covered > (best?.covered ?? heldNow))
        best = { move: { id: hand.id, model: model.digest, span, reason }, covered };
    }
  }
  if (best !== null) return [best.move];
  return planAfresh(model, hands)
    .filter(({ hand, span }) => !samePlace(hand.placed, { model: model.digest, span }))
    .map(({ hand, span }) => ({ id: hand.id, model: model.digest, span, reason }));
}

/** Who would hold what if all began anew, the largest device first; empty if that would leave a gap too. */
function planAfresh(model: PlannedModel, hands: readonly Hand[]): { hand: Hand; span: Span }[] {
  const onModel = hands.filter((hand) => hand.placed?.model === model.digest);
  const fixed = onModel.filter((hand) => !hand.mayMove).map((hand) => hand.placed!.span);
  const free = onModel
    .filter((hand) => hand.mayMove)
    .map((hand) => ({ hand, spans: spansThatFit(hand, model) }))
    .sort((a, b) => a.spans.length - b.spans.length)
    .reverse();
  const plan: { hand: Hand; span: Span }[] = [];
  const spans = [...fixed];
  for (const { hand, spans: fitting } of free) {
    const coverage = coverageOf(spans, model.units);
    const gain = (span: Span): number => gainedBy(span, coverage);
    const stay = (span: Span): number => (samePlace(hand.placed, { model: model.digest, span }) ? 1 : 0);
    const span = [...fitting].sort((a, b) => gain(b) - gain(a) || stay(b) - stay(a))[0];
    if (span === undefined || gain(span) === 0) continue;
    plan.push({ hand, span });
    spans.push(span);
  }
  return countCovered(spans, model.units) === model.units ? plan : [];
}

function evenOut(hands: readonly Hand[], models: readonly PlannedModel[]): (Choice & { id: PeerId }) | null {
  const coverages = new Map(models.map((model) => [model.digest, coverageOf(spansOn(model, hands), model.units)]));
  const least = (place: Placed): number => {
    const coverage = coverages.get(place.model);
    return coverage === undefined ? Infinity : Math.min(...coverage.slice(place.span.start, place.span.end));
  };
  let best: { move: Choice & { id: PeerId }; lift: number } | null = null;
  for (const hand of hands) {
    if (!hand.mayMove || !hand.isReady || hand.placed === null) continue;
    for (const model of models) {
      for (const span of spansThatFit(hand, model)) {
        const overlaps =
          model.digest === hand.placed.model && span.start < hand.placed.span.end && hand.placed.span.start < span.end;
        const lift = least(hand.placed) - least({ model: model.digest, span });
        const isClear = lift >= 2 && 2 * least({ model: model.digest, span }) <= least(hand.placed);
        if (overlaps || !isClear || lift <= (best?.lift ?? 0)) continue;
        best = {
          move: { id: hand.id, model: model.digest, span, reason: 'these layers had the fewest volunteers' },
          lift,
        };
      }
    }
  }
  return best?.move ?? null;
}

interface Option extends Placed {
  /** Units that nobody else holds. */
  readonly gained: number;
  /** Share of the model that would still be missing. */
  readonly missing: number;
  readonly isSlow: boolean;
  /** Falls fourfold with each volunteer that holds a unit already. */
  readonly need: number;
  readonly meanCoverage: number;
}

function rate(hand: Hand, model: PlannedModel, span: Span, coverage: readonly number[]): Option {
  const counts = coverage.slice(span.start, span.end);
  const gained = gainedBy(span, coverage);
  return {
    model: model.digest,
    span,
    gained,
    missing: (coverage.filter((count) => count === 0).length - gained) / model.units,
    isSlow: (hand.layerMs ?? 0) * counts.length > SLOW_STAGE_MS,
    need: counts.reduce((sum, count) => sum + 4 ** -count, 0),
    meanCoverage: counts.reduce((sum, count) => sum + count, 0) / counts.length,
  };
}

/** Within one model, better first: what leaves least missing, then what is fast enough, then the greatest need. */
function compareSpans(a: Option, b: Option): number {
  return a.missing - b.missing || Number(a.isSlow) - Number(b.isSlow) || b.need - a.need || a.span.start - b.span.start;
}

/** Between models, better first: one with a gap to close and nearest to being whole, else the thinnest. */
function compareModels(a: Option, b: Option): number {
  const gap = Number(b.gained > 0) - Number(a.gained > 0);
  return gap || (a.gained > 0 ? a.missing - b.missing : 0) || a.meanCoverage - b.meanCoverage;
}

function spansThatFit(hand: Hand, model: PlannedModel): Span[] {
  if (model.runtimeVersion !== hand.runtimeVersion) return [];
  const bytesOf = (span: Span): number => model.memoryBytes(span, hand.backend, hand.slots);
  const failedBytes = hand.failed.filter((place) => place.model === model.digest).map((place) => bytesOf(place.span));
  const limitBytes = Math.min(hand.pledgeBytes, ...failedBytes.map((bytes) => bytes - 1));
  return model.grid.filter((span) => bytesOf(span) <= limitBytes);
}

function spansOn(model: PlannedModel, hands: readonly Hand[]): Span[] {
  return hands.flatMap(({ placed }) => (placed?.model === model.digest ? [placed.span] : []));
}

function gainedBy(span: Span, coverage: readonly number[]): number {
  return coverage.slice(span.start, span.end).filter((count) => count === 0).length;
}

function countCovered(spans: readonly Span[], units: number): number {
  return coverageOf(spans, units).filter((count) => count > 0).length;
}

export function samePlace(a: Placed | null, b: Placed | null): boolean {
  if (a === null || b === null) return a === b;
  return a.model === b.model && a.span.start === b.span.start && a.span.end === b.span.end;
}
