import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { ErrorCode } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Route } from '#shared/route/route.ts';
import type { PeerControlMessage, ServerMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { Lease, Leases } from '../placement/leases.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member, Registry } from '../placement/registry.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import { candidatesFor, replicaOf, type Candidate } from '../routing/candidate.ts';
import { RouteQueue, type RouteRequest, type Waiting } from '../routing/route-queue.ts';
import { planRoute, type Planned } from '../routing/scheduler.ts';
import { FaultMemory } from '../trust/fault-memory.ts';
import type { Trust } from '../trust/trust.ts';

type Release = Extract<PeerControlMessage, { type: 'release' }>;
type Rest = Extract<PeerControlMessage, { type: 'rest' }>;
export type RequesterMessage =
  Release | Rest | RouteRequest | Extract<PeerControlMessage, { type: 'abandon' | 'resume' }>;

/** How a session ended, for the history. */
export interface FinishedSession {
  readonly lease: Lease;
  readonly outcome: Release['outcome'];
  readonly tokens: number;
  readonly tokensPerSecond: number | null;
  /** As the requester says, one for each volunteer of the lease that it blames. */
  readonly faults: readonly Release['faults'][number][];
  /** As the requester says; nothing where it has not said anything. */
  readonly checks: Release['checks'] | null;
}

/** Of sessions whose requester never said how they went. */
const UNHEARD_OF = { outcome: 'failed', tokens: 0, tokensPerSecond: null, faults: [], checks: null } as const;
const FORSAKEN = { ...UNHEARD_OF, outcome: 'cancelled' } as const;

type Figures = Omit<FinishedSession, 'lease'>;

export interface RouteDeskDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly registry: Registry;
  readonly leases: Leases;
  readonly trust: Pick<Trust, 'standing'>;
  readonly models: () => readonly PlannedModel[];
  readonly send: (to: PeerId, message: ServerMessage) => void;
  readonly sign: (route: Route) => Promise<Envelope>;
  /** True while volunteers are on their way that have not joined yet: what lacks volunteers waits for them. */
  readonly isFilling: () => boolean;
  readonly onRefused: (code: ErrorCode) => void;
  readonly onFinished: (session: FinishedSession) => void;
  /** Called as the requester says that an answer has ended, with the tokens that it adds to those of its session. */
  readonly onTokens: (lease: Lease, tokens: number, tokensPerSecond: number | null) => void;
  /** Route could not be signed: a fault of ours. */
  readonly onError: (error: unknown) => void;
  readonly times: Config['times'];
  readonly limits: Config['limits'];
}

/** Answers requests for routes: at once, later from the queue, or with a refusal that says why. */
export class RouteDesk {
  readonly #deps: RouteDeskDeps;
  readonly #queue: RouteQueue;
  readonly #faults: FaultMemory;
  /** Sessions whose requester is not connected, and when they end if it does not resume them. */
  readonly #forsaken = new Map<SessionId, number>();
  /** What sessions have come to by the end of their last answer. A page that is closed says no more than that. */
  readonly #rested = new Map<SessionId, Figures>();
  /** The position each waiting request was last told. */
  readonly #told = new Map<Waiting, number>();

  constructor(deps: RouteDeskDeps) {
    this.#deps = deps;
    this.#queue = new RouteQueue(deps.limits.queueLength);
    this.#faults = new FaultMemory(deps.clock, deps.times.faultMemoryMs);
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Sessions that still run, with what they have come to so far, if they have said so. */
  get rested(): FinishedSession[] {
    return [...this.#rested].map(([session, figures]) => ({ lease: this.#deps.leases.get(session)!, ...figures }));
  }

  receive(member: Member, message: RequesterMessage): void {
    switch (message.type) {
      case 'route':
        this.#request(member, message);
        return;
      case 'abandon':
        this.#queue.remove(({ requester, request }) => requester === member.id && request.request === message.request);
        this.#tellPositions();
        return;
      case 'release':
        this.#release(member, message);
        return;
      case 'rest':
        this.#rest(member, message);
        return;
      case 'resume':
        this.#resume(member, new Set(message.sessions));
        return;
    }
  }

  /** Ends what a peer that left was waiting for. Its sessions do not need us to go on, so it may come back to them. */
  left(requester: PeerId): void {
    const { clock, leases, times } = this.#deps;
    this.#queue.remove((waiting) => waiting.requester === requester);
    for (const { route } of leases.ofRequester(requester))
      this.#forsaken.set(route.session, clock.nowMs() + times.resumeMs);
    this.retry();
  }

  /** Serves who can be served now. To be called whenever slots or volunteers have become free. */
  retry(): void {
    this.#queue.drain((waiting) => this.#tryWaiting(waiting));
    this.#tellPositions();
  }

  /** Ends leases and waits that have run out. To be called about once a second. */
  tick(): void {
    const { clock, leases, times } = this.#deps;
    for (const lease of leases.expired()) this.#end(lease.route.session, UNHEARD_OF);
    for (const [session, untilMs] of this.#forsaken) if (untilMs <= clock.nowMs()) this.#end(session, FORSAKEN);
    const limitMs = clock.nowMs() - times.queueTimeoutMs;
    for (const { requester, request } of this.#queue.remove((waiting) => waiting.sinceMs <= limitMs)) {
      const seconds = Math.round(times.queueTimeoutMs / 1000);
      this.#refuse(requester, request, 'all-busy', `no volunteer became free within ${seconds} s`, null);
    }
    this.#faults.prune();
    this.retry();
  }

  /** Puts on record what sessions have come to that will not be heard of again. */
  stop(): void {
    for (const session of [...this.#rested.keys()]) this.#end(session, UNHEARD_OF);
  }

  /** Why a plain request for this model would get no route now; null if it would get one. */
  reasonNotServable(model: PlannedModel): string | null {
    const demand = {
      requester: '' as PeerId,
      webrtc: true,
      minStages: model.minStages,
      shadows: 0,
      exclude: new Set<PeerId>(),
    };
    const planned = planRoute(model.layers, demand, this.#candidates(model, demand.requester));
    if (planned.type === 'route') return null;
    return planned.type === 'wait' ? 'all volunteers are busy or loading' : planned.message;
  }

  #request(member: Member, request: RouteRequest): void {
    const model = this.#deps.models().find((planned) => planned.digest === request.model);
    if (model === undefined)
      return this.#refuse(member.id, request, 'unknown-model', 'this server has no such model', null);
    if (request.capacity > model.maxPositions) {
      const message = `${model.name} takes at most ${model.maxPositions} positions, not ${request.capacity}`;
      return this.#refuse(member.id, request, 'too-long', message, null);
    }
    const inHand =
      this.#deps.leases.ofRequester(member.id).filter((lease) => lease.role === 'answer').length +
      this.#queue.positions().filter(({ waiting }) => waiting.requester === member.id).length;
    if (inHand >= this.#deps.limits.routesPerRequester) {
      return this.#refuse(
        member.id,
        request,
        'rate-limited',
        `you already have ${inHand} sessions running or waiting`,
        null,
      );
    }
    // Who came first goes first: with others of this model waiting, a new request joins the line.
    const planned = this.#queue.has(model.digest) ? ({ type: 'wait' } as const) : this.#plan(model, member.id, request);
    if (planned.type !== 'wait' && !this.#waitsForShadows(planned, request, 0))
      return this.#answer(model, member.id, request, planned);
    const isQueued = this.#queue.add({ requester: member.id, request, sinceMs: this.#deps.clock.nowMs() });
    if (isQueued) return this.retry();
    if (planned.type !== 'wait') return this.#answer(model, member.id, request, planned);
    this.#refuse(member.id, request, 'all-busy', 'all volunteers are busy and the queue is full', null);
  }

  /** True if the request needs to wait no longer. */
  #tryWaiting({ requester, request, sinceMs }: Waiting): boolean {
    const model = this.#deps.models().find((planned) => planned.digest === request.model);
    if (model === undefined) {
      this.#refuse(requester, request, 'unknown-model', 'this server no longer has the model', null);
      return true;
    }
    const planned = this.#plan(model, requester, request);
    if (planned.type === 'wait' || this.#waitsForShadows(planned, request, this.#deps.clock.nowMs() - sinceMs))
      return false;
    this.#answer(model, requester, request, planned);
    return true;
  }

  #plan(model: PlannedModel, requester: PeerId, request: RouteRequest): Planned {
    const demand = {
      requester,
      webrtc: request.webrtc,
      minStages: Math.max(model.minStages, request.policy.minStages),
      shadows: request.policy.shadows,
      exclude: new Set(request.exclude),
    };
    const planned = planRoute(model.layers, demand, this.#candidates(model, requester));
    return planned.type === 'refused' && this.#deps.isFilling() ? { type: 'wait' } : planned;
  }

  /** An answer that could be checked in a moment is better than one at once, but not for ever. */
  #waitsForShadows(planned: Planned, { policy }: RouteRequest, waitedMs: number): boolean {
    if (planned.type !== 'route' || policy.shadows === 0) return false;
    if (planned.stages.some((stage) => stage.shadows.length === 0) && this.#deps.isFilling()) return true;
    return planned.lacksBusyShadows && waitedMs < this.#deps.times.shadowWaitMs;
  }

  #candidates(model: PlannedModel, requester: PeerId): Candidate[] {
    return candidatesFor(model, (volunteer) => this.#faults.failedLately(requester, volunteer), this.#deps);
  }

  #answer(
    model: PlannedModel,
    requester: PeerId,
    request: RouteRequest,
    planned: Exclude<Planned, { type: 'wait' }>,
  ): void {
    if (planned.type === 'refused')
      return this.#refuse(requester, request, planned.code, planned.message, planned.missing);
    const issuedAtMs = Math.floor(this.#deps.clock.wallMs());
    const route: Route = {
      session: toHex(this.#deps.random(16)) as SessionId,
      purpose: 'answer',
      model: model.digest,
      requester: { id: requester, webrtc: request.webrtc },
      capacity: request.capacity,
      issuedAtMs,
      expiresAtMs: issuedAtMs + this.#deps.times.leaseMs,
      stages: planned.stages.map(({ primary, shadows, predictedMs }) => ({
        range: rangeOf(primary.span, model.layers),
        primary: replicaOf(primary),
        shadows: shadows.map(replicaOf),
        predictedMs,
      })),
      notes: [...planned.notes],
    };
    this.#deps.leases.take(route, 'answer');
    this.#deps.sign(route).then(
      (envelope) => this.#deps.send(requester, { type: 'routed', request: request.request, route: envelope }),
      (error: unknown) => {
        this.#deps.onError(error);
        this.#end(route.session, UNHEARD_OF);
        this.#refuse(requester, request, 'internal', 'the route could not be signed', null);
      },
    );
  }

  #refuse(
    to: PeerId,
    { request }: RouteRequest,
    code: ErrorCode,
    message: string,
    missing: { start: number; end: number } | null,
  ): void {
    this.#deps.onRefused(code);
    this.#deps.send(to, { type: 'refused', request, code, message: message.slice(0, 500), missing });
  }

  #release(member: Member, release: Release): void {
    const { session, outcome } = release;
    const lease = this.#deps.leases.get(session);
    // Only who was given the route may give it back; anything else is late or made up.
    if (lease?.requester !== member.id) return;
    const figures = figuresOf(lease, release, outcome);
    figures.faults.forEach(({ volunteer }) => this.#faults.remember(member.id, volunteer));
    this.#tellTokens(lease, figures);
    this.#rested.delete(session);
    this.#end(session, figures);
    this.retry();
  }

  #rest(member: Member, rest: Rest): void {
    const lease = this.#deps.leases.get(rest.session);
    if (lease?.requester !== member.id || lease.role !== 'answer') return;
    const figures = figuresOf(lease, rest, 'done');
    this.#tellTokens(lease, figures);
    this.#rested.set(rest.session, figures);
  }

  #tellTokens(lease: Lease, { tokens, tokensPerSecond }: Figures): void {
    const added = tokens - (this.#rested.get(lease.route.session)?.tokens ?? 0);
    if (lease.role === 'answer' && added > 0) this.#deps.onTokens(lease, added, tokensPerSecond);
  }

  #resume(member: Member, running: ReadonlySet<SessionId>): void {
    for (const { route } of this.#deps.leases.ofRequester(member.id)) {
      if (running.has(route.session)) this.#forsaken.delete(route.session);
      else this.#end(route.session, FORSAKEN);
    }
    this.retry();
  }

  /** With these figures, or with those that it rested on. */
  #end(session: SessionId, figures: Figures): void {
    const lease = this.#deps.leases.end(session);
    const rested = this.#rested.get(session);
    this.#rested.delete(session);
    this.#forsaken.delete(session);
    if (lease) this.#deps.onFinished({ lease, ...(rested ?? figures) });
  }

  #tellPositions(): void {
    const positions = this.#queue.positions();
    for (const { waiting, position } of positions) {
      if (this.#told.get(waiting) === position) continue;
      this.#told.set(waiting, position);
      this.#deps.send(waiting.requester, { type: 'queued', request: waiting.request.request, position });
    }
    const waiting = new Set(positions.map((entry) => entry.waiting));
    for (const known of this.#told.keys()) if (!waiting.has(known)) this.#told.delete(known);
  }
}

/** What a requester says of its session, as far as that can be. */
function figuresOf(
  { route, volunteers }: Lease,
  { tokens, tokensPerSecond, faults, checks }: Release | Rest,
  outcome: Figures['outcome'],
): Figures {
  const blamed = faults.filter(
    ({ volunteer }, i) =>
      volunteers.includes(volunteer) && faults.findIndex((other) => other.volunteer === volunteer) === i,
  );
  return { outcome, tokens: Math.min(tokens, route.capacity), tokensPerSecond, faults: blamed, checks };
}
