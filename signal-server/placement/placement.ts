import type { Digest, PeerId } from '#shared/ids.ts';
import { NetworkShares, type LotOf } from './place-lots.ts';
import type { PlannedModel } from './planned-model.ts';
import { PAIR, StageCounts } from './stage-counts.ts';
import { coverageOf, describeSpan, type UnitSpan } from './stage-grid.ts';
import type { BackendName } from './stage-memory.ts';

/** A stage slower than this per token is handed out only where nobody else would hold its layers. */
const SLOW_STAGE_MS = 250;
const MB = 1_000_000;

const NONE: ReadonlySet<Digest> = new Set();

export interface Placed {
  readonly model: Digest;
  readonly span: UnitSpan;
}

/** A volunteer as placement sees it. */
export interface Hand {
  readonly id: PeerId;
  /** As of `networkOf`. */
  readonly network: string;
  /** True for the server's own. */
  readonly isAnchor: boolean;
  /** Its key has not earned trust yet. */
  readonly isNew: boolean;
  readonly backend: BackendName;
  /** False where its processor is not to compute, whatever the model. */
  readonly hasProcessor: boolean;
  readonly runtimeVersion: string;
  readonly pledgeBytes: number;
  readonly slots: number;
  readonly layerMs: number | null;
  /** Stages it has on disk, best first; of a new key only what it was given here, for it must not choose its stage. */
  readonly held: readonly Placed[];
  /** Stages it failed to load: it gets none of that size again. */
  readonly failed: readonly Placed[];
  /** The stage it runs or is loading. */
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
 * Work for a volunteer that has none: layers that nobody holds; else a stage that too few others hold just so, since
 * only they can check each other; else where coverage is thinnest, the largest stage that fits. Stages it already has on
 * disk win unless another would close a gap, or make up a pair, and they would not. With `lotOf`, which new keys get, a
 * place is drawn from those that need somebody about equally. Unless it closes a gap, no place where its network would have
 * too large a share. A model that these devices cannot hold, however many of each came, gets nobody; one that was asked for
 * lately comes first while it lacks somebody. Null if nothing fits, which `whyIdle` explains.
 */
export function choosePlace(
  hand: Hand,
  others: readonly Hand[],
  models: readonly PlannedModel[],
  lotOf: LotOf | null = null,
  asked: ReadonlySet<Digest> = NONE,
): Choice | null {
  const all = [...others, hand];
  const shares = new NetworkShares(all);
  const possible = models.filter((model) => heaviestUnit(model, all) === null);
  const options = possible.flatMap((model) => {
    const supply = supplyOf(model, others);
    const rated = spansThatFit(hand, model).map((span) => rate(hand, model, span, supply));
    return rated.filter((option) => option.gained > 0 || shares.admits(hand, option));
  });
  const bestOfEach = possible.flatMap(
    (model) => options.filter((option) => option.model === model.digest).sort(compareSpans)[0] ?? [],
  );
  const isWanted = ({ model, gained, pairs }: Option): boolean => asked.has(model) && (gained > 0 || pairs > 0);
  const best = bestOfEach.sort((a, b) => Number(isWanted(b)) - Number(isWanted(a)) || compareModels(a, b))[0];
  if (best === undefined) return null;
  const held = hand.held
    .map((place) => options.find((option) => samePlace(option, place)))
    .find((option) => option !== undefined && isAsUrgent(option, best));
  const { model, span, gained } = held ?? (lotOf === null ? best : drawn(options, best, lotOf));
  if (held !== undefined) return { model, span, reason: 'you already have these layers' };
  return { model, span, reason: gained > 0 ? 'nobody held these layers' : 'these layers had the fewest volunteers' };
}

/** One of the places that need somebody about as much as the best: within one holder of it, and about as large. */
function drawn(options: readonly Option[], best: Option, lotOf: LotOf): Option {
  const size = ({ span }: Option): number => span.end - span.start;
  const alike = options.filter(
    (option) =>
      option.model === best.model &&
      option.missing === best.missing &&
      option.isSlow === best.isSlow &&
      isAsUrgent(option, best) &&
      option.holders <= best.holders + 1 &&
      4 * size(option) >= 3 * size(best),
  );
  const lots = new Map(alike.map((option) => [option, lotOf(option)]));
  return alike.reduce((least, option) => (lots.get(option)! < lots.get(least)! ? option : least), best);
}

function isAsUrgent(option: Option, best: Option): boolean {
  if (best.gained > 0) return option.gained === best.gained;
  return best.pairs === 0 || option.pairs > 0;
}

/** A unit that none of these devices can hold, so that the model can never be whole with such, and the least that one would have to lend; null if there is none. */
export function heaviestUnit(
  model: PlannedModel,
  hands: readonly Pick<Hand, 'backend' | 'hasProcessor' | 'slots' | 'pledgeBytes' | 'runtimeVersion'>[],
): { readonly unit: number; readonly bytes: number } | null {
  let heaviest: { unit: number; bytes: number } | null = null;
  // Devices of one kind are many, and need to be looked at once.
  const able = hands.filter((hand) => canCompute(hand, model));
  const kinds = new Map(able.map((hand) => [`${hand.backend} ${hand.slots} ${hand.pledgeBytes}`, hand]));
  for (let unit = 0; unit < model.units; unit++) {
    const lacking = [...kinds.values()].map(({ backend, slots, pledgeBytes }) => {
      const bytes = model.memoryBytes({ start: unit, end: unit + 1 }, backend, slots);
      return bytes <= pledgeBytes ? null : bytes;
    });
    if (lacking.includes(null)) continue;
    const bytes = Math.min(...lacking.filter((each) => each !== null));
    if (bytes > (heaviest?.bytes ?? 0)) heaviest = { unit, bytes };
  }
  return heaviest;
}

/** Why there is no work that this volunteer could do; `others` are here as well. */
export function whyIdle(hand: Hand, models: readonly PlannedModel[], others: readonly Hand[] = []): string {
  if (models.length === 0) return 'this server has no model yet';
  const usable = models.filter((model) => model.runtimeVersion === hand.runtimeVersion);
  if (usable.length === 0) {
    const wanted = [...new Set(models.map((model) => model.runtimeVersion))].join(' or ');
    return `the models here need onnxruntime-web ${wanted}, this volunteer runs ${hand.runtimeVersion}: reload the page`;
  }
  const able = usable.filter((model) => canCompute(hand, model));
  if (able.length === 0)
    return 'processors alone run the models here, and this volunteer lends its graphics device only: choose another backend';
  const least = Math.min(
    ...able.flatMap((model) => model.grid.map((span) => model.memoryBytes(span, hand.backend, hand.slots))),
  );
  if (least > hand.pledgeBytes) return `the smallest stage needs ${Math.ceil(least / MB)} MB: lend more memory`;
  for (const model of able) {
    const heavy = heaviestUnit(model, [...others, hand]);
    if (heavy === null) continue;
    const part = describeSpan({ start: heavy.unit, end: heavy.unit + 1 }, model.layers);
    return `nobody here lends enough for ${part} of ${model.name}, and the rest is of no use without: one volunteer has to lend ${Math.ceil(heavy.bytes / MB)} MB`;
  }
  if (able.some((model) => spansThatFit(hand, model).length > 0)) {
    return 'your network already has its share of every stage that would fit: volunteers of others are needed beside it';
  }
  return 'every stage that would fit has failed on this device';
}

/** The holders of a model's units. */
export interface Supply {
  readonly counts: StageCounts;
  readonly coverage: readonly number[];
  readonly depths: readonly number[];
}

export function supplyOf(model: PlannedModel, hands: readonly Hand[]): Supply {
  const spans = spansOn(model, hands);
  const counts = new StageCounts(spans);
  return { counts, coverage: coverageOf(spans, model.units), depths: counts.depths(model.units) };
}

interface Option extends Placed {
  /** Volunteers that hold this very stage. */
  readonly holders: number;
  /** Units that nobody else holds. */
  readonly gained: number;
  /** Share of the model that would still be missing. */
  readonly missing: number;
  readonly isSlow: boolean;
  /** Of the units with fewest holders of one stage, those it brings nearer to one holder more; in parts where it begins a stage. */
  readonly deepens: number;
  /** While some unit has no two holders of one stage: the units that get their second. */
  readonly pairs: number;
  /** Falls fourfold with each volunteer that holds a unit already. */
  readonly need: number;
  readonly meanCoverage: number;
}

function rate(hand: Hand, model: PlannedModel, span: UnitSpan, { counts: stages, coverage, depths }: Supply): Option {
  const counts = coverage.slice(span.start, span.end);
  const gained = gainedBy(span, coverage);
  // One more than the thinnest unit has: a stage begun anew is worth its share of that.
  const target = 1 + Math.min(...depths);
  const thin = depths.slice(span.start, span.end).filter((depth) => depth < target).length;
  const deepens = thin * Math.min(1, (stages.count(span) + 1) / target);
  return {
    model: model.digest,
    span,
    gained,
    holders: stages.count(span),
    missing: (coverage.filter((count) => count === 0).length - gained) / model.units,
    deepens,
    pairs: target <= PAIR && stages.count(span) + 1 >= target ? thin : 0,
    isSlow: (hand.layerMs ?? 0) * counts.length > SLOW_STAGE_MS,
    need: counts.reduce((sum, count) => sum + 4 ** -count, 0),
    meanCoverage: counts.reduce((sum, count) => sum + count, 0) / counts.length,
  };
}

/**
 * Within one model, better first: what leaves least missing, then what is fast enough, then what gives most layers
 * another holder of the same stage, then the greatest need.
 */
function compareSpans(a: Option, b: Option): number {
  return (
    a.missing - b.missing ||
    Number(a.isSlow) - Number(b.isSlow) ||
    b.deepens - a.deepens ||
    b.need - a.need ||
    a.span.start - b.span.start
  );
}

/** Between models, better first: one with a gap to close and nearest to being whole, else the thinnest. */
function compareModels(a: Option, b: Option): number {
  const gap = Number(b.gained > 0) - Number(a.gained > 0);
  return gap || (a.gained > 0 ? a.missing - b.missing : 0) || a.meanCoverage - b.meanCoverage;
}

/** False for a model that another backend alone holds exactly. */
function canCompute(
  { backend, hasProcessor }: Pick<Hand, 'backend' | 'hasProcessor'>,
  { onlyOn }: PlannedModel,
): boolean {
  return onlyOn === null || onlyOn === backend || (onlyOn === 'wasm' && hasProcessor);
}

/** The stages that this device can hold. */
export function spansThatFit(hand: Hand, model: PlannedModel): UnitSpan[] {
  if (model.runtimeVersion !== hand.runtimeVersion || !canCompute(hand, model)) return [];
  const bytesOf = (span: UnitSpan): number => model.memoryBytes(span, hand.backend, hand.slots);
  const failedBytes = hand.failed.filter((place) => place.model === model.digest).map((place) => bytesOf(place.span));
  const limitBytes = Math.min(hand.pledgeBytes, ...failedBytes.map((bytes) => bytes - 1));
  return model.grid.filter((span) => bytesOf(span) <= limitBytes);
}

/** The stages that these volunteers hold of a model, or are loading. */
export function spansOn(model: PlannedModel, hands: readonly Hand[]): UnitSpan[] {
  return hands.flatMap(({ placed }) => (placed?.model === model.digest ? [placed.span] : []));
}

/** Units of a span that nobody holds. */
export function gainedBy(span: UnitSpan, coverage: readonly number[]): number {
  return coverage.slice(span.start, span.end).filter((count) => count === 0).length;
}

export function samePlace(a: Placed | null, b: Placed | null): boolean {
  if (a === null || b === null) return a === b;
  return a.model === b.model && a.span.start === b.span.start && a.span.end === b.span.end;
}
