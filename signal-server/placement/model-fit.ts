import type { PeerId } from '#shared/ids.ts';
import { chooseMoves } from './placement-moves.ts';
import { choosePlace, heaviestUnit, spansOn, type Hand } from './placement.ts';
import type { PlannedModel } from './planned-model.ts';
import { StageCounts } from './stage-counts.ts';
import { describeSpan } from './stage-grid.ts';
import type { BackendName } from './stage-memory.ts';

const MB = 1_000_000;
/** Beyond this many nobody counts. */
const MOST = 64;
/** Moves that one newcomer may bring about before placement counts as restless. */
const MOST_MOVES = 20;

export interface Device {
  readonly backend: BackendName;
  readonly pledgeBytes: number;
  readonly slots: number;
}

/** A tab as the page offers it where nobody changed its settings. */
export const DEFAULT_DEVICE: Device = { backend: 'wasm', pledgeBytes: 512 * MB, slots: 2 };

/** How many such devices have to come until a model answers, and until its answers are checked; null where no number is enough. */
export interface Lack {
  readonly servable: number | null;
  readonly checked: number | null;
}

/** What a model lacks where these volunteers are, as placement would place those who come; of no device, nobody comes. */
export function lackOf(model: PlannedModel, hands: readonly Hand[], device: Device | null = DEFAULT_DEVICE): Lack {
  const lack: { servable: number | null; checked: number | null } = { servable: null, checked: null };
  // Whoever works for another model stays there.
  let all = hands.filter(({ placed }) => placed === null || placed.model === model.digest).map(atRest);
  for (let more = 0; more <= MOST; more++) {
    if (more > 0 && device === null) return lack;
    if (more > 0 && device !== null) all = [...all, newcomer(device, model, more)];
    all = settled(all, model);
    const { uncovered, unpaired } = new StageCounts(spansOn(model, all)).lacks(model.units);
    if (uncovered === 0) lack.servable ??= more;
    if (unpaired === 0) return { ...lack, checked: more };
    // More of what does not fit is no help.
    if (more === 1 && heaviestUnit(model, all) !== null) return lack;
  }
  return lack;
}

/** Volunteers that have loaded what they were given. */
function atRest(hand: Hand): Hand {
  return { ...hand, isReady: true, mayMove: true };
}

function newcomer({ backend, pledgeBytes, slots }: Device, model: PlannedModel, number: number): Hand {
  const own = { id: `newcomer ${number}` as PeerId, network: `network ${number}`, isAnchor: false, isNew: false };
  const state = { layerMs: null, held: [], failed: [], placed: null, isReady: true, mayMove: true };
  return { ...own, backend, hasProcessor: true, runtimeVersion: model.runtimeVersion, pledgeBytes, slots, ...state };
}

function settled(hands: readonly Hand[], model: PlannedModel): Hand[] {
  let all = [...hands];
  for (const hand of all.filter(({ placed }) => placed === null)) {
    const placed = choosePlace(
      hand,
      all.filter(({ id }) => id !== hand.id),
      [model],
    );
    if (placed !== null) all = all.map((one) => (one.id === hand.id ? { ...one, placed } : one));
  }
  for (let count = 0; count < MOST_MOVES; count++) {
    const moves = new Map(chooseMoves(all, [model]).map((move) => [move.id, move]));
    if (moves.size === 0) break;
    all = all.map((one) => ({ ...one, placed: moves.get(one.id) ?? one.placed }));
  }
  return all;
}

/** What a model lacks, in words for people; null where its answers can be checked. */
export function describeLack(model: PlannedModel, hands: readonly Hand[], device = DEFAULT_DEVICE): string | null {
  const { servable, checked } = lackOf(model, hands, device);
  if (checked === 0) return null;
  const mb = (count: number): string => `${Math.round((count * device.pledgeBytes) / MB).toLocaleString('en')} MB`;
  const more = (count: number): string =>
    `${count} more ${count === 1 ? 'volunteer' : 'volunteers'} lending ${mb(1)}${count === 1 ? '' : ` each (${mb(count)})`}`;
  const heavy = heaviestUnit(model, [...hands, newcomer(device, model, 1)]);
  if (heavy !== null) {
    const part = describeSpan({ start: heavy.unit, end: heavy.unit + 1 }, model.layers);
    return `a volunteer that lends ${Math.ceil(heavy.bytes / MB).toLocaleString('en')} MB for ${part}, and another for checked answers; nobody here lends as much`;
  }
  const answers = servable === 0 ? null : servable === null ? 'volunteers lending more memory' : more(servable);
  const checks = checked === null ? 'volunteers lending more memory' : more(checked);
  if (answers === null) return `${checks} for checked answers`;
  return checked === servable ? `${answers} to answer, checked` : `${answers} to answer, ${checks} for checked answers`;
}

/** What a model takes, before anybody has loaded it. */
export interface ModelNeed extends Lack {
  readonly device: Device;
  /** Of one volunteer: with less, no number of them is enough. */
  readonly leastPledge: number;
  /** Memory of the fewest volunteers that answer. */
  readonly memoryBytes: number;
}

export function needOf(model: PlannedModel, device = DEFAULT_DEVICE): ModelNeed {
  const { backend, slots } = device;
  const units = Array.from({ length: model.units }, (_, unit) => ({ start: unit, end: unit + 1 }));
  const bytesOf = (spans: PlannedModel['grid']): number[] =>
    spans.map((span) => model.memoryBytes(span, backend, slots));
  return {
    ...lackOf(model, [], device),
    device,
    leastPledge: Math.max(...bytesOf(units)),
    memoryBytes: topStages(model).reduce((sum, span) => sum + model.memoryBytes(span, backend, slots), 0),
  };
}

/** The grid's stages that are parts of no other. */
function topStages({ grid }: PlannedModel): PlannedModel['grid'] {
  return grid.filter((span) =>
    grid.every((other) => other === span || other.start > span.start || other.end < span.end),
  );
}

/** How it stands with a model, for people. */
export interface ModelSupply {
  /** As of `describeLack`. */
  readonly lacks: string | null;
  /** True where volunteers that work for others could hold it, if it was asked for. */
  readonly isAsleep: boolean;
}

export function modelSupply(model: PlannedModel, hands: readonly Hand[]): ModelSupply {
  const { servable } = lackOf(model, hands);
  const freed = (): Hand[] => hands.map((hand) => ({ ...hand, placed: null }));
  return {
    lacks: describeLack(model, hands),
    isAsleep: servable !== 0 && hands.length > 0 && lackOf(model, freed(), null).servable === 0,
  };
}
