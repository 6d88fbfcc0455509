import type { Digest, PeerId } from '#shared/ids.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { VolunteerDesk } from '../../signal-server/desks/volunteer-desk.ts';
import { parseConfig } from '../../signal-server/machine/config.ts';
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

/**
 * What the volunteer desk makes of volunteers that come one after the other, in a network of their own each, on a clock that
 * needs no time: when a model can answer, and when its answers can be checked.
 */
export async function simulatePlacement({
  model,
  devices,
  everyS = 5,
  forS = 900,
}: SimulationOptions): Promise<Simulated> {
  const clock = new FakeClock();
  const registry = new Registry(clock);
  const { times } = parseConfig({});
  const given: { readonly to: PeerId; readonly message: ServerMessage }[] = [];
  const desk = new VolunteerDesk({
    ...{ clock, registry, leases: new Leases(clock), random: seededBytes(1), times },
    trust: { suspension: () => null, standing: () => ({ isNew: false }) },
    isAnchor: () => false,
    standIns: { placeOf: () => null, isStandIn: () => false, failed: () => undefined },
    models: () => [model],
    asked: () => new Set<Digest>(),
    send: ({ id: to }, message) => void given.push({ to, message }),
    gateOf: () => 'open',
    onReady: () => undefined,
    onSupply: () => undefined,
  });
  /** Units that each has downloaded, and when it has its stage ready. */
  const downloaded = new Map<PeerId, Set<number>>();
  const readyAtS = new Map<PeerId, { readonly atS: number; readonly assignment: number }>();
  let [servableS, checkedS, moves, opened, before]: [number | null, number | null, number, number, number] = [
    ...[null, null],
    ...[0, 0, model.units],
  ] as never;

  function take(nowS: number): void {
    for (const { to, message } of given.splice(0)) {
      if (message.type !== 'assign') continue;
      const span = spanOf(message.range);
      const has = downloaded.get(to) ?? new Set();
      if (readyAtS.has(to) || has.size > 0) moves += 1;
      const units = Array.from({ length: span.end - span.start }, (_, i) => span.start + i);
      const bytesOf = (some: readonly number[]): number => some.reduce((sum, unit) => sum + fileBytes(model, unit), 0);
      const missing = bytesOf(units.filter((unit) => !has.has(unit)));
      downloaded.set(to, new Set([...has, ...units]));
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
    take(nowS);
    for (const [id, { atS, assignment }] of [...readyAtS]) {
      if (atS > nowS) continue;
      readyAtS.delete(id);
      desk.receive(registry.get(id)!, { type: 'ready', assignment, layerMs: 2, probeError: 0 });
    }
    if ((1000 * nowS) % times.rebalanceMs === 0) desk.tick();
    take(nowS);
    const { uncovered, unpaired } = new StageCounts(readySpans(registry)).lacks(model.units);
    if (uncovered === 0) servableS ??= nowS;
    if (unpaired === 0) checkedS ??= nowS;
    if (uncovered > before) opened += 1;
    before = uncovered;
    await clock.advance(1000);
  }
  const idle = registry.members.filter(({ volunteer }) => volunteer?.assignment === null).length;
  return { servableS, checkedS, moves, idle, opened };
}

function readySpans(registry: Registry): UnitSpan[] {
  return registry.members.flatMap(({ volunteer }) =>
    volunteer?.state === 'ready' && volunteer.assignment !== null ? [volunteer.assignment.span] : [],
  );
}

/** Bytes of a unit's weights: what it is charged without its KV, which GPUs are for one session of nothing. */
function fileBytes(model: PlannedModel, unit: number): number {
  return model.memoryBytes({ start: unit, end: unit + 1 }, 'webgpu', 0) - 96 * 2 ** 20;
}
