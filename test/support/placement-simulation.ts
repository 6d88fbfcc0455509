import type { PeerId } from '#shared/ids.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { VolunteerDesk } from '../../signal-server/desks/volunteer-desk.ts';
import { parseConfig } from '../../signal-server/machine/config.ts';
import { ModelDemand } from '../../signal-server/placement/model-demand.ts';
import { Leases } from '../../signal-server/placement/leases.ts';
import type { PlannedModel } from '../../signal-server/placement/planned-model.ts';
import { Registry } from '../../signal-server/placement/registry.ts';
import { StageCounts } from '../../signal-server/placement/stage-counts.ts';
import { spanOf, type UnitSpan } from '../../signal-server/placement/stage-grid.ts';
import { offerOf } from './control-peer.ts';
import { FakeClock } from './fake-clock.ts';
import { seededBytes } from './seeded-bytes.ts';

const MB = 1_000_000;
const KINDS = { small: 256 * MB, tab: 512 * MB, node: 1024 * 2 ** 20 } as const;
export type DeviceKind = keyof typeof KINDS;

export interface Simulated {
  /** Seconds from the first volunteer on; null if that never came. */
  readonly servableS: number | null;
  readonly checkedS: number | null;
  /** Stages that were given to volunteers that had one. */
  readonly moves: number;
  /** Volunteers without work in the end. */
  readonly idle: number;
  /** Times at which units that were held, ready, were held by nobody ready any more. */
  readonly opened: number;
}

interface SimulationOptions {
  readonly model: PlannedModel;
  /** One volunteer comes every `everyS` seconds. */
  readonly devices: readonly DeviceKind[];
  readonly everyS?: number;
  readonly forS?: number;
}

/** How long a volunteer takes to have a stage ready: a start, a download at 10 MB/s of what it has not, the weights read. */
const START_S = 2;
const DOWNLOAD = 10 * MB;
const READ = 100 * MB;

/** How it went with one model. */
export interface ModelRun extends Pick<Simulated, 'servableS' | 'checkedS' | 'opened'> {
  /** For each time that somebody asked for it: seconds until it could answer, and be checked; null if that never came. */
  readonly asked: readonly { readonly servableS: number | null; readonly checkedS: number | null }[];
  /** As the page says it, in the end. */
  readonly activity: 'loaded' | 'asleep' | 'lacking';
}

interface ManyOptions extends Omit<SimulationOptions, 'model'> {
  readonly models: readonly PlannedModel[];
  /** Somebody asks for a model, by its place in `models`. */
  readonly asks?: readonly { readonly atS: number; readonly model: number }[];
}

/** As `simulatePlacement`, of several models of one server. */
export async function simulateModels({
  models,
  devices,
  everyS = 5,
  forS = 900,
  asks = [],
}: ManyOptions): Promise<{ readonly runs: readonly ModelRun[]; readonly moves: number; readonly idle: number }> {
  const clock = new FakeClock();
  const registry = new Registry(clock);
  const { times } = parseConfig({});
  const demand = new ModelDemand(clock);
  const given: { readonly to: PeerId; readonly message: ServerMessage }[] = [];
  const desk = new VolunteerDesk({
    ...{ clock, registry, leases: new Leases(clock), random: seededBytes(1), times },
    trust: { suspension: () => null, standing: () => ({ isNew: false }) },
    isAnchor: () => false,
    standIns: { placeOf: () => null, isStandIn: () => false, failed: () => undefined },
    models: () => models,
    asked: () => demand.asked,
    send: ({ id: to }, message) => void given.push({ to, message }),
    gateOf: () => 'open',
    onReady: () => undefined,
    onSupply: () => undefined,
  });
  /** Units of each model that each has downloaded, and when it has its stage ready. */
  const downloaded = new Map<PeerId, Set<string>>();
  const readyAtS = new Map<PeerId, { readonly atS: number; readonly assignment: number }>();
  const runs = models.map((model) => new WatchedModel(model));
  let moves = 0;

  function take(nowS: number): void {
    for (const { to, message } of given.splice(0)) {
      if (message.type !== 'assign') continue;
      const model = models.find(({ digest }) => digest === message.model)!;
      const span = spanOf(message.range);
      const has = downloaded.get(to) ?? new Set();
      if (readyAtS.has(to) || has.size > 0) moves += 1;
      const units = Array.from({ length: span.end - span.start }, (_, i) => span.start + i);
      const bytesOf = (some: readonly number[]): number => some.reduce((sum, unit) => sum + fileBytes(model, unit), 0);
      const nameOf = (unit: number): string => `${model.digest} ${unit}`;
      const missing = bytesOf(units.filter((unit) => !has.has(nameOf(unit))));
      downloaded.set(to, new Set([...has, ...units.map(nameOf)]));
      const atS = nowS + START_S + missing / DOWNLOAD + bytesOf(units) / READ;
      readyAtS.set(to, { atS, assignment: message.assignment });
    }
  }

  for (let nowS = 0; nowS < forS; nowS++) {
    const kind = nowS % everyS === 0 ? devices[nowS / everyS] : undefined;
    if (kind !== undefined) {
      const id = (nowS / everyS).toString(16).padStart(64, '0') as PeerId;
      const member = registry.join(id, 'tab', `network ${nowS}`, 1);
      desk.receive(member, offerOf({ pledgeBytes: KINDS[kind], slots: 2, layerMs: null }));
    }
    for (const { model } of asks.filter(({ atS }) => atS === nowS)) {
      demand.note(models[model]!.digest);
      runs[model]!.ask(nowS);
    }
    take(nowS);
    for (const [id, { atS, assignment }] of [...readyAtS]) {
      if (atS > nowS) continue;
      readyAtS.delete(id);
      desk.receive(registry.get(id)!, { type: 'ready', assignment, layerMs: 2, probeError: 0 });
    }
    if ((1000 * nowS) % times.rebalanceMs === 0) desk.tick();
    take(nowS);
    for (const run of runs) run.look(readySpans(registry, run.model), nowS);
    await clock.advance(1000);
  }
  const activityOf = ({ model, isServable }: WatchedModel): ModelRun['activity'] =>
    isServable ? 'loaded' : desk.supplyOf(model).isAsleep ? 'asleep' : 'lacking';
  const idle = registry.members.filter(({ volunteer }) => volunteer?.assignment === null).length;
  return { runs: runs.map((run) => ({ ...run.result, activity: activityOf(run) })), moves, idle };
}

/** Whether a model can answer and be checked, second after second. */
class WatchedModel {
  readonly model: PlannedModel;
  readonly #asked: { readonly atS: number; servableS: number | null; checkedS: number | null }[] = [];
  #before: number;
  #servableS: number | null = null;
  #checkedS: number | null = null;
  #opened = 0;

  constructor(model: PlannedModel) {
    this.model = model;
    this.#before = model.units;
  }

  get isServable(): boolean {
    return this.#before === 0;
  }

  get result(): Omit<ModelRun, 'activity'> {
    const asked = this.#asked.map(({ servableS, checkedS }) => ({ servableS, checkedS }));
    return { servableS: this.#servableS, checkedS: this.#checkedS, opened: this.#opened, asked };
  }

  ask(atS: number): void {
    this.#asked.push({ atS, servableS: null, checkedS: null });
  }

  look(ready: readonly UnitSpan[], nowS: number): void {
    const { uncovered, unpaired } = new StageCounts(ready).lacks(this.model.units);
    if (uncovered === 0) this.#servableS ??= nowS;
    if (unpaired === 0) this.#checkedS ??= nowS;
    for (const ask of this.#asked) {
      if (uncovered === 0) ask.servableS ??= nowS - ask.atS;
      if (unpaired === 0) ask.checkedS ??= nowS - ask.atS;
    }
    if (uncovered > this.#before) this.#opened += 1;
    this.#before = uncovered;
  }
}

/**
 * What the volunteer desk makes of volunteers that come one after the other, in a network of their own each, on a clock that
 * needs no time: when a model can answer, and when its answers can be checked.
 */
export async function simulatePlacement({ model, ...rest }: SimulationOptions): Promise<Simulated> {
  const { runs, moves, idle } = await simulateModels({ models: [model], ...rest });
  const { servableS, checkedS, opened } = runs[0]!;
  return { servableS, checkedS, moves, idle, opened };
}

function readySpans(registry: Registry, { digest }: PlannedModel): UnitSpan[] {
  return registry.members.flatMap(({ volunteer }) =>
    volunteer?.state === 'ready' && volunteer.assignment?.model === digest ? [volunteer.assignment.span] : [],
  );
}

/** Bytes of a unit's weights: what it is charged without its KV, which GPUs are for one session of nothing. */
function fileBytes(model: PlannedModel, unit: number): number {
  return model.memoryBytes({ start: unit, end: unit + 1 }, 'webgpu', 0) - 96 * 2 ** 20;
}
