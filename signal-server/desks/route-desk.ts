import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { ErrorCode } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import type { Route } from '#shared/route/route.ts';
import type { PeerControlMessage, ServerMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd } from '../peer-router/control-router.ts';
import { networkOf } from '../placement/network.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member } from '../placement/registry.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import { replicaOf, type CandidateSources } from '../routing/candidate.ts';
import { RoutePlanner } from '../routing/route-planner.ts';
import { RouteQueue, type RouteAsker, type RouteRequest, type Served, type Waiting } from '../routing/route-queue.ts';
import type { Planned } from '../routing/scheduler.ts';
import { FaultMemory } from '../trust/fault-memory.ts';
import type { DrawDesk } from '../draw/draw-desk.ts';
import { giveOut, type SignGrant } from './grant-route.ts';
import { RunningSessions, type FinishedSession, type RunningSessionsDeps } from './running-sessions.ts';

export type RequesterMessage =
  | RouteRequest
  | Extract<PeerControlMessage, { type: 'abandon' | 'release' | 'rest' | 'resume' | 'opened' | 'closed' }>;
type Missing = Extract<ServerMessage, { type: 'refused' }>['missing'];

/** Stands for every key of the server's own gateway; no peer has this id. */
const GATEWAY = 'gateway' as PeerId;

export interface RouteDeskDeps extends CandidateSources, Omit<RunningSessionsDeps, 'onFault' | 'onStall'> {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly models: () => readonly PlannedModel[];
  readonly send: DesksEnd['send'];
  readonly sign: SignGrant;
  /** As of `RoutePlanner`. */
  readonly isFilling: () => boolean;
  readonly isAsleep: (model: PlannedModel) => boolean;
  /** True for requesters of the server's own. */
  readonly isGateway: (id: PeerId) => boolean;
  /** The route of a hidden session's request; null for all others. */
  readonly planHidden: (requester: PeerId, model: PlannedModel, request: RouteRequest) => Planned | null;
  /** Null where there is no log: then routes are the server's choice, and say nothing of it. */
  readonly draws: Pick<DrawDesk, 'draw' | 'ended' | 'whyRefused'> | null;
  /** Somebody asked for an answer of this model. */
  readonly onAsked: (model: PlannedModel['digest']) => void;
  readonly onRefused: (code: ErrorCode) => void;
  /** A route could not be signed: a fault of ours. */
  readonly onError: (error: unknown) => void;
  readonly times: Config['times'];
  readonly limits: Config['limits'];
}

/** Answers requests for routes: at once, later from the queue, or with a refusal that says why. */
export class RouteDesk {
  readonly #deps: RouteDeskDeps;
  readonly #queue: RouteQueue;
  readonly #faults: FaultMemory;
  readonly #planner: RoutePlanner;
  readonly #sessions: RunningSessions;
  /** The position each waiting request was last told. */
  readonly #told = new Map<Waiting, number>();
  /** Requests whose signatures are being looked at. */
  readonly #arriving = new Map<RouteRequest, Member>();

  constructor(deps: RouteDeskDeps) {
    this.#deps = deps;
    this.#queue = new RouteQueue(deps.limits.queueLength, (client) => deps.leases.heldBy(client).sessions);
    const faults = new FaultMemory(deps.clock, deps.times);
    this.#faults = faults;
    const failedLately: FaultMemory['failedLately'] = (requester, volunteer) =>
      faults.failedLately(this.#memoryOf(requester), volunteer);
    this.#planner = new RoutePlanner({ ...deps, faults: { failedLately } });
    this.#sessions = new RunningSessions({
      ...deps,
      onFault: (requester, volunteer) => faults.failed(this.#memoryOf(requester), volunteer),
      onStall: (requester, volunteer) => faults.stalled(this.#memoryOf(requester), volunteer),
    });
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Sessions that still run, with their figures so far where these are known. */
  get rested(): FinishedSession[] {
    return this.#sessions.rested;
  }

  /** Positions that a volunteer computed in sessions that still run, as far as their answers have ended. */
  positionsOf(volunteer: PeerId): number {
    return this.#sessions.positionsOf(volunteer);
  }

  receive(member: Member, message: RequesterMessage): void {
    switch (message.type) {
      case 'route':
        this.#arrive(member, message);
        return;
      case 'abandon':
        this.#abandon(member, message.request);
        this.#tellPositions();
        return;
      case 'release':
        if (this.#sessions.release(member.id, message)) this.retry();
        return;
      case 'rest':
        this.#sessions.rest(member.id, message);
        return;
      case 'resume':
        this.#sessions.resume(member.id, new Set(message.sessions));
        this.retry();
        return;
      case 'opened':
        this.#deps.leases.opened(message.session, member.id);
        this.retry();
        return;
      case 'closed':
        if (this.#deps.leases.vacated(message.session, member.id)) this.retry();
        return;
    }
  }

  /** Ends the waits of a peer that left. */
  left(requester: PeerId): void {
    for (const waiting of this.#queue.remove((each) => each.requester.id === requester)) {
      this.#deps.draws?.ended(waiting.requester, waiting.request, 'abandoned');
    }
    // A key of the gateway is for one answer, and never comes back to it.
    if (this.#deps.isGateway(requester)) this.#sessions.resume(requester, new Set());
    else this.#sessions.forsake(requester);
    this.retry();
  }

  /** Serves the requests that can be served now. To be called whenever slots or volunteers have become free. */
  retry(): void {
    this.#queue.drain((waiting) => this.#tryWaiting(waiting));
    this.#tellPositions();
  }

  /** Ends leases and waits that have run out. To be called about once a second. */
  tick(): void {
    const { clock, times } = this.#deps;
    this.#sessions.expire();
    const limitMs = clock.nowMs() - times.queueTimeoutMs;
    for (const { requester, request } of this.#queue.remove((waiting) => waiting.sinceMs <= limitMs)) {
      const seconds = Math.round(times.queueTimeoutMs / 1000);
      this.#refuse(requester, request, 'all-busy', `no volunteer became free within ${seconds} s`);
    }
    this.#faults.prune();
    this.retry();
    this.#reclaim();
  }

  /** Ends the sessions whose figures are known, with these: they will not be heard of again. */
  stop(): void {
    this.#sessions.stop();
  }

  /** As of `RoutePlanner`. */
  reasonNotServable(model: PlannedModel): string | null {
    return this.#planner.reasonNotServable(model);
  }

  /** Whom a requester's faults are remembered for: the gateway is one, though each of its answers has another key. */
  #memoryOf(requester: PeerId): PeerId {
    return this.#deps.isGateway(requester) ? GATEWAY : requester;
  }

  /** Takes a request once its signature was looked at, if it asks for a draw. */
  #arrive(member: Member, request: RouteRequest): void {
    const { draws, onError, registry } = this.#deps;
    if (draws === null || request.draw === undefined) return this.#request(member, request);
    this.#arriving.set(request, member);
    draws.whyRefused(member, request).then((reason) => {
      if (!this.#arriving.delete(request)) return;
      if (registry.get(member.id) !== member) return draws.ended(member, request, 'abandoned');
      if (reason === null) this.#request(member, request);
      else this.#refuse(member, request, 'bad-signature', reason);
    }, onError);
  }

  #abandon(member: Member, number: number): void {
    for (const [request, of] of this.#arriving) {
      if (of !== member || request.request !== number) continue;
      this.#arriving.delete(request);
      this.#deps.draws?.ended(member, request, 'abandoned');
    }
    const waiting = this.#queue.remove(
      ({ requester, request }) => requester.id === member.id && request.request === number,
    );
    for (const { request } of waiting) this.#deps.draws?.ended(member, request, 'abandoned');
  }

  #request(member: Member, request: RouteRequest): void {
    const { clock, leases, limits, models } = this.#deps;
    const model = models().find((planned) => planned.digest === request.model);
    if (model === undefined) return this.#refuse(member, request, 'unknown-model', 'this server has no such model');
    const hidden = this.#deps.planHidden(member.id, model, request);
    if (hidden !== null) {
      // It stands in nobody's way: who asked tries again.
      if (hidden.type !== 'wait') return this.#answer(model, member, request, hidden);
      return this.#refuse(member, request, 'all-busy', 'no anchor is free for it');
    }
    this.#deps.onAsked(model.digest);
    if (request.capacity > model.maxPositions) {
      const message = `${model.name} takes at most ${model.maxPositions} positions, not ${request.capacity}`;
      return this.#refuse(member, request, 'too-long', message);
    }
    const inHand =
      leases.ofRequester(member.id).filter(({ role, route }) => role === 'answer' && route.session !== request.after)
        .length + this.#queue.positions().filter(({ waiting }) => waiting.requester.id === member.id).length;
    if (inHand >= limits.routesPerRequester) {
      const message = `you already have ${inHand} sessions running or waiting`;
      return this.#refuse(member, request, 'rate-limited', message);
    }
    // With others of this model waiting, a new request joins the line.
    const planned = this.#queue.has(model.digest)
      ? ({ type: 'wait' } as const)
      : this.#planner.plan(model, member.id, request);
    const hasShare = planned.type !== 'route' || this.#hasShare(model, member, request, planned);
    const isAnswerable = planned.type !== 'wait' && hasShare;
    if (isAnswerable && !this.#planner.waitsForShadows(planned, request, 0))
      return this.#answer(model, member, request, planned);
    const left = this.#queue.add({ requester: member, request, sinceMs: clock.nowMs() });
    if (left?.request === request && isAnswerable) return this.#answer(model, member, request, planned);
    if (left !== null)
      this.#refuse(left.requester, left.request, 'all-busy', 'all volunteers are busy and the queue is full');
    this.retry();
    this.#reclaim();
  }

  /**
   * True if the sessions of one address leave places to others: those that nobody has opened hold half of them at most, and all
   * together three quarters, where the rest has room for a route. One route always fits, and one that takes another's place.
   */
  #hasShare(
    { digest }: PlannedModel,
    { id, client }: Waiting['requester'],
    { after }: RouteRequest,
    { stages }: Extract<Planned, { type: 'route' }>,
  ): boolean {
    const held = this.#deps.leases.heldBy(client);
    const replaced = after === undefined ? undefined : this.#deps.leases.get(after);
    if (held.sessions === (replaced?.requester === id ? 1 : 0)) return true;
    const ready = this.#deps.registry.members.filter(
      ({ volunteer }) => volunteer?.state === 'ready' && volunteer.assignment?.model === digest,
    );
    const slots = ready.reduce((sum, { volunteer }) => sum + volunteer!.offer.slots, 0);
    const added = stages.reduce((sum, { shadows }) => sum + 1 + shadows.length, 0);
    if (held.unopenedSlots > 0 && held.unopenedSlots + added > slots / 2) return false;
    return added > slots / 4 || held.slots + added <= (3 / 4) * slots;
  }

  /**
   * Makes room for those who wait: routes that were given out and not opened are taken back, sooner from who holds more than who is
   * next, and sessions that only wait for a next question are asked for, as many as others wait for.
   */
  #reclaim(): void {
    const { leases, registry, send, times } = this.#deps;
    let isTaken = false;
    for (const { lease, client, ageMs } of this.#queue.length === 0 ? [] : leases.unopened()) {
      const next = this.#queue.nextFor(lease.route.model);
      if (next === undefined || next.request.after === lease.route.session) continue;
      const holdsMore = leases.heldBy(client).sessions > leases.heldBy(next.requester.client).sessions + 1;
      if (ageMs < (holdsMore ? times.openAmongManyMs : times.openMs)) continue;
      const { session } = lease.route;
      this.#sessions.fail(session);
      for (const id of lease.volunteers) {
        const member = registry.get(id);
        if (member !== undefined) send(member, { type: 'unseat', session });
      }
      isTaken = true;
    }
    if (isTaken) this.retry();
    for (const model of this.#queue.models) {
      for (const { requester, route } of this.#sessions.takeReclaimable(model, this.#queue.lengthOf(model))) {
        const member = registry.get(requester);
        if (member !== undefined) send(member, { type: 'reclaim', session: route.session });
      }
    }
  }

  #tryWaiting({ requester, request, sinceMs }: Waiting): Served {
    const model = this.#deps.models().find((planned) => planned.digest === request.model);
    if (model === undefined) {
      this.#refuse(requester, request, 'unknown-model', 'this server no longer has the model');
      return 'served';
    }
    const planned = this.#planner.plan(model, requester.id, request);
    const waitedMs = this.#deps.clock.nowMs() - sinceMs;
    if (planned.type === 'wait' || this.#planner.waitsForShadows(planned, request, waitedMs)) return 'waits';
    if (planned.type === 'route' && !this.#hasShare(model, requester, request, planned)) return 'over-share';
    this.#answer(model, requester, request, planned, waitedMs);
    return 'served';
  }

  #answer(
    model: PlannedModel,
    requester: RouteAsker,
    request: RouteRequest,
    planned: Exclude<Planned, { type: 'wait' }>,
    waitedMs = 0,
  ): void {
    if (planned.type === 'refused')
      return this.#refuse(requester, request, planned.code, planned.message, planned.missing);
    const { clock, draws, leases, onError, random, sign, times } = this.#deps;
    const { stages, record } = draws?.draw(
      model,
      requester,
      request,
      planned.stages,
      this.#planner.candidatesFor(model, requester.id, request),
    ) ?? { stages: planned.stages, record: undefined };
    const issuedAtMs = Math.floor(clock.wallMs());
    const route: Route = {
      session: toHex(random(16)) as SessionId,
      purpose: 'answer',
      model: model.digest,
      requester: { id: requester.id, webrtc: request.webrtc },
      capacity: request.capacity,
      issuedAtMs,
      expiresAtMs: issuedAtMs + times.leaseMs,
      stages: stages.map(({ primary, shadows, predictedMs }) => ({
        range: rangeOf(primary.span, model.layers),
        primary: replicaOf(primary),
        shadows: shadows.map(replicaOf),
        predictedMs,
      })),
      notes: [...planned.notes],
      ...(record && { draw: record }),
    };
    leases.take(route, 'answer', this.#networksOf(route), waitedMs, requester.client);
    sign(route).then(
      (grant) => giveOut(grant, requester, request.request, this.#deps),
      (error: unknown) => {
        onError(error);
        this.#sessions.fail(route.session);
        this.#refuse(requester, request, 'internal', 'the route could not be signed');
      },
    );
  }

  #networksOf({ stages }: Route): Map<PeerId, string> {
    const { registry, isAnchor } = this.#deps;
    const replicas = stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
    return new Map(
      replicas.flatMap(({ id }) => {
        const member = registry.get(id);
        return member === undefined ? [] : [[id, networkOf(member, isAnchor(id))]];
      }),
    );
  }

  #refuse(to: RouteAsker, asked: RouteRequest, code: ErrorCode, message: string, missing: Missing = null): void {
    const { request } = asked;
    this.#deps.onRefused(code);
    this.#deps.draws?.ended(to, asked, 'refused');
    this.#deps.send(to, { type: 'refused', request, code, message: message.slice(0, MAX_REASON_CHARACTERS), missing });
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
