import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { ErrorCode } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Replica, Route } from '#shared/route/route.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd, PeerAddress } from '../peer-router/control-router.ts';
import type { Lease } from '../placement/leases.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member } from '../placement/registry.ts';
import { spanOf, type UnitSpan } from '../placement/stage-grid.ts';
import { candidatesFor, replicaOf, type Candidate, type CandidateSources } from '../routing/candidate.ts';
import { drawThird, fittingThirds } from '../routing/draw-third.ts';
import { Draw } from '../routing/draw.ts';
import { ONE_PREFIX_NOTE, sharesOnePrefix } from '../routing/scheduler.ts';
import { giveOut, type SignGrant } from './grant-route.ts';

export type ReplayRequest = Extract<PeerControlMessage, { type: 'replay' }>;

export interface ReplayDeskDeps extends CandidateSources {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly models: () => readonly PlannedModel[];
  readonly send: DesksEnd['send'];
  readonly sign: SignGrant;
  readonly onRefused: (role: ReplayRequest['role']) => void;
  readonly onError: (error: unknown) => void;
  readonly times: Pick<Config['times'], 'replayMs'>;
  readonly limits: Pick<Config['limits'], 'replaysPerRequester'>;
}

type Grant = {
  readonly lease: Lease;
  readonly range: Route['stages'][number]['range'];
  readonly replica: Candidate;
  readonly hasOnePrefix: boolean;
};
type Refusal = { readonly code: ErrorCode; readonly message: string };

/** Finds the third replica that settles a difference between two of a running session. */
export class ReplayDesk {
  readonly #deps: ReplayDeskDeps;
  readonly #draw: Draw;

  constructor(deps: ReplayDeskDeps) {
    this.#deps = deps;
    this.#draw = new Draw(deps.random);
  }

  receive(member: Member, request: ReplayRequest): void {
    const found = this.#find(member, request);
    if ('code' in found) this.#refuse(member, request, found);
    else this.#grant(member, request, found);
  }

  #find(member: Member, request: ReplayRequest): Grant | Refusal {
    const { leases, models, limits, isAnchor, isStandIn } = this.#deps;
    const lease = leases.get(request.session);
    // A stranger's session is treated as one that does not exist, which is all that a stranger should learn.
    if (lease?.requester !== member.id || lease.role !== 'answer') {
      return { code: 'unknown-session', message: 'you have no such session running' };
    }
    const stage = lease.route.stages[request.stage];
    if (stage === undefined) return { code: 'bad-message', message: `the session has no stage ${request.stage + 1}` };
    const running = leases.ofRequester(member.id).filter((other) => other.role !== 'answer').length;
    if (running >= limits.replaysPerRequester) {
      return { code: 'rate-limited', message: `you already have ${running} replays running` };
    }
    const model = models().find((planned) => planned.digest === lease.route.model);
    if (model === undefined) return { code: 'unknown-model', message: 'this server no longer has the model' };
    const candidates = candidatesFor(model, () => false, {
      ...this.#deps,
      // In a session that one of them works in, it may be the referee.
      isStandIn: (id) => isStandIn(id) && !lease.volunteers.includes(id),
    });
    const hasOnePrefix = sharesOnePrefix(candidates);
    const exclude = excludable(lease, request);
    const networks = hasOnePrefix ? new Map<PeerId, string>() : lease.prefixes;
    const difference = { role: request.role, stage, exclude, networks, size: model.size, isAnchor };
    const holders = candidates.filter(
      ({ id, span }) => id !== member.id && !exclude.has(id) && isSame(span, spanOf(stage.range)),
    );
    const fitting = fittingThirds(holders, difference);
    const free = fitting.filter((holder) => holder.isReady && holder.isTried && holder.freeSlots > 0);
    const replica = drawThird(free, difference, this.#draw);
    if (replica !== undefined) return { lease, range: stage.range, replica, hasOnePrefix };
    return refusalOf(request.role, fitting.length > 0);
  }

  #grant(
    requester: PeerAddress,
    { request, role }: ReplayRequest,
    { lease, range, replica, hasOnePrefix }: Grant,
  ): void {
    const { clock, leases, random, send, sign, times } = this.#deps;
    const issuedAtMs = Math.floor(clock.wallMs());
    const route: Route = {
      session: toHex(random(16)) as SessionId,
      purpose: 'replay',
      model: lease.route.model,
      requester: lease.route.requester,
      capacity: lease.route.capacity,
      issuedAtMs,
      expiresAtMs: issuedAtMs + times.replayMs,
      stages: [{ range, primary: thirdOf(replica), shadows: [], predictedMs: 0 }],
      notes: hasOnePrefix ? [ONE_PREFIX_NOTE] : [],
    };
    leases.take(route, role);
    lease.thirds.add(replica.id);
    sign(route).then(
      (grant) => giveOut(grant, requester, request, this.#deps),
      (error: unknown) => {
        this.#deps.onError(error);
        leases.end(route.session);
        send(requester, {
          type: 'refused',
          request,
          code: 'internal',
          message: 'the route could not be signed',
          missing: null,
        });
      },
    );
  }

  #refuse(to: PeerAddress, { request, role }: ReplayRequest, { code, message }: Refusal): void {
    this.#deps.onRefused(role);
    this.#deps.send(to, { type: 'refused', request, code, message, missing: null });
  }
}

function refusalOf(role: ReplayRequest['role'], isHeld: boolean): Refusal {
  if (isHeld) return { code: 'all-busy', message: `every ${role} for these layers is busy or loading` };
  const message =
    role === 'referee'
      ? 'no other anchor of this server holds these layers in an exact class, and none is moved to them for a replay'
      : 'no other volunteer of this numeric class, and of another network than the two that differ, holds these layers';
  return { code: 'no-coverage', message };
}

/**
 * Whom a requester may keep away from a replay of its session: those whose part this is, and the thirds that it has had. Else it could
 * choose its arbiter by excluding the others.
 */
function excludable({ volunteers, thirds }: Lease, { exclude }: ReplayRequest): ReadonlySet<PeerId> {
  return new Set(exclude.filter((id) => volunteers.includes(id) || thirds.has(id)));
}

function thirdOf(replica: Candidate): Replica {
  const isUnproven = replica.isNew || !replica.isMeasured;
  return { ...replicaOf(replica), ...(isUnproven ? { isUnproven } : {}) };
}

function isSame(a: UnitSpan, b: UnitSpan): boolean {
  return a.start === b.start && a.end === b.end;
}
