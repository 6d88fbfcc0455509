import type { Logger } from 'pino';
import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import { toChorusError } from '#shared/errors.ts';
import type { Placed } from '../placement/placement.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Registry } from '../placement/registry.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';

/** How long they may take to load, and how long nobody asks for them after they could not. */
const START_MS = 60_000;
const REST_MS = 60_000;
/** A set that nobody has used yet is not given up for another before this, so that two targets cannot take turns at loading. */
const HOLD_MS = 5_000;
/** They stay this long after their last session: trials come in crowds. */
const IDLE_MS = 60_000;
/** Memory is reckoned with so many sessions at once. */
export const STAND_IN_SLOTS = 4;

/** Runs the server's own volunteers that exist for hidden sessions. */
export interface StandInRunner {
  /** Runs one under a fresh key, which is told of before it connects, with memory for its stage. Resolves when it has ended. */
  run(onKey: (id: PeerId) => void, pledgeBytes: number, signal: AbortSignal): Promise<void>;
}

export interface StandInsDeps {
  readonly clock: Clock;
  readonly registry: Pick<Registry, 'get'>;
  /** Those whose blobs are here. */
  readonly models: () => readonly PlannedModel[];
  /** Memory that they may take together; 0 for none. */
  readonly mostBytes: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

interface StandInSet {
  readonly model: PlannedModel;
  readonly spans: readonly UnitSpan[];
  readonly ids: Set<PeerId>;
  readonly aborter: AbortController;
  readonly sinceMs: number;
  isReady: boolean;
  inUse: number;
  sessions: number;
  usedMs: number;
}

/**
 * Volunteers in the server's process that hold a whole model between them for hidden sessions alone, where no anchors do: one
 * the stage of whoever is tried, the others all beside it. They are started when they are needed and let go when they are not,
 * under fresh keys each time, and nobody else is ever given one.
 */
export class StandIns {
  readonly #deps: StandInsDeps;
  readonly #places = new Map<PeerId, Placed>();
  #runner: StandInRunner | null = null;
  #set: StandInSet | null = null;
  #restsUntilMs = -Infinity;

  constructor(deps: StandInsDeps) {
    this.#deps = deps;
  }

  /** From now on they can be started. */
  attach(runner: StandInRunner): void {
    this.#runner = runner;
  }

  /** The stage that a stand-in is to hold; null for everybody else. */
  placeOf(id: PeerId): Placed | null {
    return this.#places.get(id) ?? null;
  }

  isStandIn(id: PeerId): boolean {
    return this.#places.has(id);
  }

  /** True where they could hold this stage and all beside it. */
  canHold(place: Placed): boolean {
    if (this.#runner === null || this.#deps.clock.nowMs() < this.#restsUntilMs) return false;
    const model = this.#modelOf(place);
    if (model === undefined) return false;
    const spans = tilingAround(place.span, model);
    return spans.reduce((sum, span) => sum + bytesOf(model, span), 0) <= this.#deps.mostBytes;
  }

  /** True if they hold it now; otherwise they will as soon as they may. */
  isReadyFor(place: Placed): boolean {
    if (!this.canHold(place)) return false;
    if (this.#set !== null && holds(this.#set, place)) return this.#set.isReady;
    if (this.#set !== null && !this.#mayGo(this.#set)) return false;
    this.#letGo();
    this.#start(place);
    return false;
  }

  /** A session with a target at this stage has begun; the result is to be called when it is over. */
  use(place: Placed): () => void {
    const set = this.#set;
    if (set === null || !holds(set, place)) return () => undefined;
    set.inUse += 1;
    set.sessions += 1;
    return () => {
      set.inUse -= 1;
      set.usedMs = this.#deps.clock.nowMs();
    };
  }

  /** One of them has loaded its stage. */
  ready(id: PeerId): void {
    const set = this.#set;
    if (set?.ids.has(id) !== true) return;
    const isLoaded = (one: PeerId): boolean => this.#deps.registry.get(one)?.volunteer?.state === 'ready';
    set.isReady = set.ids.size === set.spans.length && [...set.ids].every(isLoaded);
    set.usedMs = this.#deps.clock.nowMs();
  }

  /** One of them cannot load its stage. */
  failed(id: PeerId, reason: string): void {
    if (this.#set?.ids.has(id) === true) this.#giveUp(reason);
  }

  /** Lets go of those that nobody needs. To be called about once a second. */
  tick(): void {
    const set = this.#set;
    if (set === null) return;
    const nowMs = this.#deps.clock.nowMs();
    if (!set.isReady && nowMs - set.sinceMs > START_MS) this.#giveUp('they did not load in time');
    else if (set.isReady && set.inUse === 0 && nowMs - set.usedMs > IDLE_MS) this.#letGo();
  }

  #mayGo({ isReady, inUse, sessions, usedMs }: StandInSet): boolean {
    return isReady && inUse === 0 && (sessions > 0 || this.#deps.clock.nowMs() - usedMs > HOLD_MS);
  }

  #start(target: Placed): void {
    const { clock, log } = this.#deps;
    const nowMs = clock.nowMs();
    const model = this.#modelOf(target)!;
    const spans = tilingAround(target.span, model);
    const set: StandInSet = {
      ...{ model, spans, ids: new Set<PeerId>(), aborter: new AbortController(), sinceMs: nowMs },
      ...{ isReady: false, inUse: 0, sessions: 0, usedMs: nowMs },
    };
    this.#set = set;
    log.info({ model: model.name, stages: spans.length }, 'stand-ins for hidden sessions start');
    const { signal } = set.aborter;
    for (const span of spans) {
      const own: PeerId[] = [];
      const onKey = (id: PeerId): void => {
        own.push(id);
        set.ids.add(id);
        this.#places.set(id, { model: target.model, span });
      };
      this.#runner!.run(onKey, bytesOf(model, span), signal)
        .catch((thrown: unknown) => toChorusError(thrown).message)
        .then((reason) => {
          if (!signal.aborted && this.#set === set) this.#giveUp(reason ?? 'one of them ended');
          own.forEach((id) => this.#places.delete(id));
        })
        .catch(() => undefined);
    }
  }

  #giveUp(reason: string): void {
    this.#deps.log.warn({ reason }, 'no stand-ins for hidden sessions: volunteers go untried for a while');
    this.#restsUntilMs = this.#deps.clock.nowMs() + REST_MS;
    this.#letGo();
  }

  #letGo(): void {
    this.#set?.aborter.abort();
    this.#set = null;
  }

  #modelOf({ model }: Placed): PlannedModel | undefined {
    return this.#deps.models().find(({ digest }) => digest === model);
  }
}

/** This stage, and the fewest others that make up a whole model with it. */
function tilingAround(span: UnitSpan, { grid }: PlannedModel): UnitSpan[] {
  const tiling = [span];
  // Two stages of the grid are nested or disjoint, larger ones first.
  for (const other of grid) {
    if (tiling.every(({ start, end }) => other.end <= start || end <= other.start)) tiling.push(other);
  }
  return tiling;
}

function bytesOf(model: PlannedModel, span: UnitSpan): number {
  return model.memoryBytes(span, 'wasm', STAND_IN_SLOTS);
}

/** True where one of the set has this very stage: then the others have all beside it. */
function holds({ model, spans }: StandInSet, { model: digest, span }: Placed): boolean {
  return model.digest === digest && spans.some(({ start, end }) => start === span.start && end === span.end);
}
