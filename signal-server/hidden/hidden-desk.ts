import type { Logger } from 'pino';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import { isExactClass } from '#shared/judge/numeric-class.ts';
import type { Config } from '../machine/config.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Assignment, Member, RegisteredVolunteer, Registry } from '../placement/registry.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import { candidatesFor, type CandidateSources, type Gate } from '../routing/candidate.ts';
import { Draw } from '../routing/draw.ts';
import type { RouteRequest } from '../routing/route-queue.ts';
import type { Planned } from '../routing/scheduler.ts';
import type { Trust } from '../trust/trust.ts';
import { isReference, planHidden } from './hidden-plan.ts';
import { carryOut, type HiddenRunner, type HiddenSession } from './hidden-run.ts';
import { HiddenSchedule, type HiddenKind } from './hidden-schedule.ts';
import { HiddenWatch, type HiddenResult } from './hidden-watch.ts';
import { LostDraws } from './lost-draws.ts';
import { References } from './references.ts';
import type { StandIns } from './stand-ins.ts';

/** Milliseconds per layer: no lap is taken for shorter, whatever the others took. */
const LEAST_LAYER_MS = 0.01;

const STEERED =
  'more of its tokens were other than an anchor draws than chance explains: it seems to choose between near ties';

export interface HiddenDeskDeps extends Omit<CandidateSources, 'gateOf' | 'isStandIn' | 'measuresSpeed' | 'trust'> {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly registry: Registry;
  readonly models: () => readonly PlannedModel[];
  readonly isAnchor: (id: PeerId) => boolean;
  /** What takes the place of anchors where none hold a volunteer's stage. */
  readonly standIns: StandIns;
  /** True while anchors are on their way for the first time. */
  readonly isFilling: () => boolean;
  /** True while somebody waits for a route. */
  readonly isBusy: () => boolean;
  /** What failures count for. Spans need no word of ours: their replicas' claims bring them, as in every session. */
  readonly trust: CandidateSources['trust'] & Pick<Trust, 'failHidden' | 'suspension'>;
  /** Called after each session, with what it came to for the volunteer that it was about. */
  readonly onResult: (outcome: HiddenEnd) => void;
  /** Called when a volunteer has become one that work may be given to. */
  readonly onSupply: () => void;
  readonly onError: (error: unknown) => void;
  readonly log: Pick<Logger, 'info'>;
  /** How long a page that stands still is taken for one that is there. */
  readonly silenceMs: number;
  readonly hidden: Config['hidden'];
}

/** What a hidden session came to, and what it cost. */
export interface HiddenEnd {
  readonly id: PeerId;
  readonly kind: HiddenKind;
  readonly result: HiddenResult;
  /** True where the failure is held against the key. */
  readonly isFault: boolean;
  /** True where it was found to steer by near ties. */
  readonly isSteerer: boolean;
  readonly tokens: number;
  readonly tookMs: number;
}

/** A volunteer that was late. Its page may have been frozen, or its device asleep, which nobody knows yet. */
interface Late {
  readonly id: PeerId;
  readonly numericClass: string;
  readonly reason: string;
  readonly isFault: boolean;
  /** When it is known to have been there all the while. */
  readonly knownMs: number;
}

/**
 * Hidden sessions: the server asks for answers of its own, in which one volunteer's work stands beside that of anchors. Which
 * requester's key is hidden is known here alone. A volunteer passes one before it is given work, and more at times by chance.
 */
export class HiddenDesk {
  readonly #deps: HiddenDeskDeps;
  readonly #schedule: HiddenSchedule;
  readonly #draw: Draw;
  readonly #askers = new Map<PeerId, HiddenSession | null>();
  /** The assignment that each volunteer is known with. */
  readonly #known = new Map<PeerId, number>();
  readonly #references: References;
  readonly #reasons = new Map<PeerId, string>();
  /** Speeds that later sessions measured. Routes show the speed they count with, so it changes at a time by chance. */
  readonly #speeds = new Map<PeerId, { readonly layerMs: number; readonly atMs: number }>();
  readonly #lostDraws = new LostDraws();
  #late: Late[] = [];
  #runner: HiddenRunner | null = null;

  constructor(deps: HiddenDeskDeps) {
    this.#deps = deps;
    this.#draw = new Draw(deps.random);
    this.#references = new References(deps);
    this.#schedule = new HiddenSchedule(deps.hidden, () => this.#draw.uniform());
  }

  /** From now on hidden sessions can be carried out. */
  attach(runner: HiddenRunner): void {
    this.#runner = runner;
  }

  /** True once hidden sessions can be carried out. */
  get isOn(): boolean {
    return this.#runner !== null;
  }

  /** Whether this volunteer may be given work. Anchors may: they are what the others are compared with. */
  gateOf({ id, volunteer }: Member): Gate {
    if (volunteer === null || volunteer.tried !== null || this.#deps.isAnchor(id)) return 'open';
    if (this.#schedule.restsUntilMs(id, this.#deps.clock.nowMs()) !== null) return 'closed';
    return volunteer.assignment !== null && this.isOn && this.#canCompare(volunteer.assignment) ? 'trial' : 'open';
  }

  /** Why a volunteer failed its last hidden session, and until when it rests for it (monotonic milliseconds); null if it did not. */
  failureOf(id: PeerId): { readonly reason: string; readonly untilMs: number } | null {
    const untilMs = this.#schedule.restsUntilMs(id, this.#deps.clock.nowMs());
    const reason = this.#reasons.get(id);
    return untilMs === null || reason === undefined ? null : { reason, untilMs };
  }

  /** A volunteer says that it is ready: it is tried at once. */
  ready({ id, prefix, volunteer }: Member): void {
    const { clock, isAnchor, standIns } = this.#deps;
    standIns.ready(id);
    if (standIns.isStandIn(id)) this.#begin();
    const assignment = volunteer?.assignment ?? null;
    if (volunteer === null || assignment === null || isAnchor(id)) return;
    this.#known.set(id, assignment.number);
    this.#speeds.delete(id);
    this.#schedule.ready(id, prefix, !isExactClass(volunteer.offer.numericClass), clock.nowMs());
    this.#begin();
  }

  /** Somebody complains of a volunteer: it is tried before long, and that alone counts. */
  complained(id: PeerId): void {
    this.#schedule.complained(id, this.#deps.clock.nowMs());
  }

  /** The page of a volunteer stood still: it was late for that alone a moment ago, and is tried as if it had not been. */
  silent(id: PeerId): void {
    if (!this.#late.some((late) => late.id === id)) return;
    this.#late = this.#late.filter((late) => late.id !== id);
    this.#schedule.forgive(id);
  }

  /** Forgets who has left, and begins what is due. To be called about once a second. */
  tick(): void {
    for (const [id, number] of this.#known) {
      const volunteer = this.#deps.registry.get(id)?.volunteer;
      if (volunteer?.assignment?.number === number) continue;
      this.#known.delete(id);
      this.#schedule.gone(id);
    }
    for (const [id, { layerMs, atMs }] of this.#speeds) {
      const volunteer = this.#deps.registry.get(id)?.volunteer ?? null;
      if (volunteer === null || volunteer.tried === null) this.#speeds.delete(id);
      else if (atMs <= this.#deps.clock.nowMs()) {
        this.#deps.registry.passed(volunteer, layerMs, false);
        this.#speeds.delete(id);
      }
    }
    this.#judgeLate();
    this.#deps.standIns.tick();
    for (const id of this.#reasons.keys()) if (this.failureOf(id) === null) this.#reasons.delete(id);
    this.#begin();
  }

  /**
   * The route of a request that is one of a hidden session; null for all others. A session that its target has failed goes
   * on as any other would.
   */
  planFor(requester: PeerId, model: PlannedModel, request: RouteRequest): Planned | null {
    const session = this.#askers.get(requester);
    if (session === undefined) return null;
    if (session !== null && request.exclude.includes(session.target)) return null;
    const demand = {
      requester,
      webrtc: request.webrtc,
      minStages: Math.max(model.minStages, request.policy.minStages),
      shadows: request.policy.shadows,
      exclude: new Set(request.exclude),
    };
    const { isAnchor, standIns } = this.#deps;
    const wish = {
      target: session?.target ?? null,
      role: session?.role ?? ('primary' as const),
      isAmongAnchors: session?.kind !== 'later',
    };
    const planned = planHidden(model.layers, demand, this.#candidates(model), wish, this.#draw, {
      isAnchor,
      isStandIn: (id) => standIns.isStandIn(id),
    });
    if (session === null || planned.type !== 'route') return planned;
    const others = planned.stages.filter(({ primary }) => primary.id !== session.target);
    session.othersMs = others.reduce(
      (sum, { primary: { span, layerMs } }) => sum + layerMs * (span.end - span.start),
      0,
    );
    session.onPlanned();
    return planned;
  }

  /** Holds lateness against those whose page was there. */
  #judgeLate(): void {
    const { clock, onError, trust } = this.#deps;
    const nowMs = clock.nowMs();
    for (const { id, numericClass, reason, isFault } of this.#late.filter(({ knownMs }) => knownMs <= nowMs)) {
      if (isFault) trust.failHidden(id, numericClass, reason).catch(onError);
    }
    this.#late = this.#late.filter(({ knownMs }) => knownMs > nowMs);
  }

  #newsAtMs(): number {
    const { clock, hidden } = this.#deps;
    return clock.nowMs() - hidden.meanMs * Math.log(1 - this.#draw.uniform());
  }

  #candidates(model: PlannedModel) {
    return candidatesFor(model, () => false, {
      ...this.#deps,
      gateOf: (member) => this.gateOf(member),
      isStandIn: () => false,
      measuresSpeed: () => this.isOn,
    });
  }

  /** True where the server has, or can have, somebody of its own to hold this stage and all beside it. */
  #canCompare(assignment: Assignment): boolean {
    return this.#references.hold(assignment) || this.#deps.standIns.canHold(assignment);
  }

  #begin(): void {
    const { clock, isBusy, registry } = this.#deps;
    if (this.#runner === null) return;
    for (;;) {
      const next = this.#schedule.next(clock.nowMs(), isBusy(), (id) => this.#canBegin(id));
      const member = next === null ? undefined : registry.get(next.id);
      const assignment = member?.volunteer?.assignment ?? null;
      if (next === null || assignment === null) return;
      this.#schedule.began(next.id, next.kind, clock.nowMs());
      this.#run(this.#runner, next.id, member!.volunteer!, assignment, next.kind).catch(this.#deps.onError);
    }
  }

  /** True if an anchor is free beside this volunteer; where none hold its stage, stand-ins are asked for. */
  #canBegin(id: PeerId): boolean {
    const { models, isAnchor, registry, standIns } = this.#deps;
    const volunteer = registry.get(id)?.volunteer;
    const assignment = volunteer?.assignment ?? null;
    if (volunteer?.state !== 'ready' || assignment === null) return false;
    if (!this.#references.hold(assignment) && !standIns.isReadyFor(assignment)) return false;
    const model = models().find((planned) => planned.digest === assignment.model);
    if (model === undefined) return false;
    const candidates = this.#candidates(model);
    const self = candidates.find((candidate) => candidate.id === id);
    if (self === undefined || self.freeSlots <= 0) return false;
    return candidates.some((candidate) => isAnchor(candidate.id) && isReference(candidate, assignment.span));
  }

  async #run(
    runner: HiddenRunner,
    id: PeerId,
    volunteer: RegisteredVolunteer,
    assignment: Assignment,
    kind: HiddenKind,
  ): Promise<void> {
    const { clock, hidden, isAnchor, standIns } = this.#deps;
    const beganMs = clock.nowMs();
    const letGo = standIns.use(assignment);
    const session: HiddenSession = {
      ...{ target: id, kind, model: assignment.model, othersMs: null, onPlanned: () => undefined },
      role: kind === 'trial' || this.#draw.uniform() < 0.5 ? 'primary' : 'shadow',
      watch: new HiddenWatch({ target: id, isAnchor }),
    };
    const result = await carryOut(session, { runner, clock, askers: this.#askers, hidden }).finally(letGo);
    this.#conclude(id, volunteer, assignment, session, result, clock.nowMs() - beganMs);
    this.#begin();
  }

  #conclude(
    id: PeerId,
    volunteer: RegisteredVolunteer,
    assignment: Assignment,
    { kind, watch, othersMs }: HiddenSession,
    given: HiddenResult,
    tookMs: number,
  ): void {
    const { clock, log, onError, onResult, onSupply, registry, trust } = this.#deps;
    const { numericClass } = volunteer.offer;
    const isThere = registry.get(id)?.volunteer === volunteer && volunteer.assignment === assignment;
    // A proven fault takes its work away before the session has come to its end.
    const proven = trust.suspension(id);
    const left: HiddenResult =
      proven === null
        ? { type: 'unclear', reason: 'it left, or was given other work' }
        : { type: 'failed', reason: proven.reason, how: 'wrong' };
    const isSteerer = watch.draws
      .map((draws) => this.#lostDraws.add(id, draws.pair, draws.honestRate, draws))
      .some((isFound) => isFound);
    const steered: HiddenResult = { type: 'failed', reason: STEERED, how: 'wrong' };
    const found = isSteerer && given.type !== 'failed' ? steered : given;
    // What it signed stands, also where it has lost its work for that meanwhile; its silence has another reason then.
    const isKept = (isThere && volunteer.state === 'ready') || (found.type === 'failed' && found.how === 'wrong');
    const result = isKept ? found : left;
    this.#schedule.ended(id, result.type, clock.nowMs());
    // Any page stands still for a moment, and a browser slows down the tabs that nobody looks at: these are put aside, and
    // nothing is held against them.
    const isExcused =
      result.type === 'failed' && (result.how === 'stall' || (result.how === 'late' && volunteer.isHidden));
    const isFault = result.type === 'failed' && !isExcused;
    if (result.type === 'passed') {
      const wasOpen = volunteer.tried !== null;
      const layerMs = layerMsOf(result.lapMs, othersMs ?? 0, assignment.span);
      const before = volunteer.tried?.layerMs ?? null;
      registry.passed(volunteer, before ?? layerMs ?? volunteer.layerMs ?? 0, result.isMeasured);
      if (before !== null && layerMs !== null) this.#speeds.set(id, { layerMs, atMs: this.#newsAtMs() });
      this.#reasons.delete(id);
      if (!wasOpen) onSupply();
    } else if (result.type === 'failed') {
      registry.untry(volunteer);
      this.#reasons.set(id, result.reason);
      if (result.how === 'wrong') trust.failHidden(id, numericClass, result.reason).catch(onError);
      else {
        const knownMs = clock.nowMs() + this.#deps.silenceMs;
        this.#late.push({ id, numericClass, reason: result.reason, isFault, knownMs });
      }
    }
    const { type: outcome } = result;
    const reason = result.type === 'passed' ? undefined : result.reason;
    log.info(
      { volunteer: id, kind, outcome, tokens: watch.tokens, tookMs: Math.round(tookMs), reason },
      'hidden session',
    );
    onResult({ id, kind, result, isFault, isSteerer, tokens: watch.tokens, tookMs });
  }
}

/** What a lap leaves for each unit of this stage. */
function layerMsOf(lapMs: number | null, othersMs: number, { start, end }: UnitSpan): number | null {
  return lapMs === null ? null : Math.max(LEAST_LAYER_MS, (lapMs - othersMs) / (end - start));
}
