import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { ErrorCode } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { dependsOnRuns, isExactClass, isExactPair } from '#shared/judge/numeric-class.ts';
import type { Route } from '#shared/route/route.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd, PeerAddress } from '../peer-router/control-router.ts';
import type { Lease } from '../placement/leases.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member } from '../placement/registry.ts';
import { spanOf, type UnitSpan } from '../placement/stage-grid.ts';
import { candidatesFor, replicaOf, type Candidate, type CandidateSources } from '../routing/candidate.ts';

export type ReplayRequest = Extract<PeerControlMessage, { type: 'replay' }>;

export interface ReplayDeskDeps extends CandidateSources {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly models: () => readonly PlannedModel[];
  readonly send: DesksEnd['send'];
  readonly sign: (route: Route) => Promise<Envelope>;
  readonly onRefused: (role: ReplayRequest['role']) => void;
  readonly onError: (error: unknown) => void;
  readonly times: Pick<Config['times'], 'replayMs'>;
  readonly limits: Pick<Config['limits'], 'replaysPerRequester'>;
}

type Grant = { readonly lease: Lease; readonly range: Route['stages'][number]['range']; readonly replica: Candidate };
type Refusal = { readonly code: ErrorCode; readonly message: string };

/** Finds the third replica that settles a difference between two of a running session. */
export class ReplayDesk {
  readonly #deps: ReplayDeskDeps;

  constructor(deps: ReplayDeskDeps) {
    this.#deps = deps;
  }

  receive(member: Member, request: ReplayRequest): void {
    const found = this.#find(member, request);
    if ('code' in found) this.#refuse(member, request, found);
    else this.#grant(member, request, found);
  }

  #find(member: Member, request: ReplayRequest): Grant | Refusal {
    const { leases, models, limits } = this.#deps;
    const lease = leases.get(request.session);
    // A stranger's session is treated as one that does not exist, which is all that a stranger should learn.
    if (lease?.requester !== member.id || lease.role !== 'answer') {
      return { code: 'unknown-session', message: 'you have no such session running' };
    }
    const stage = lease.route.stages[request.stage];
    if (stage === undefined) return { code: 'bad-message', message: `the session has no stage ${request.stage}` };
    const running = leases.ofRequester(member.id).filter((other) => other.role !== 'answer').length;
    if (running >= limits.replaysPerRequester) {
      return { code: 'rate-limited', message: `you already have ${running} replays running` };
    }
    const model = models().find((planned) => planned.digest === lease.route.model);
    if (model === undefined) return { code: 'unknown-model', message: 'this server no longer has the model' };
    const holders = candidatesFor(model, () => false, this.#deps).filter(
      ({ id, span }) => id !== member.id && !request.exclude.includes(id) && isSame(span, spanOf(stage.range)),
    );
    const fitting = holders.filter((holder) => this.#fits(holder, stage, request.role));
    const free = fitting.filter((holder) => holder.isReady && holder.freeSlots > 0);
    const replica = this.#best(free, stage, request);
    if (replica !== undefined) return { lease, range: stage.range, replica };
    return refusalOf(request.role, fitting.length > 0);
  }

  /**
   * An arbiter is none of the stage's replicas and computes as its primary does. A referee is an anchor of ours of an exact
   * class, and may be a shadow of the stage where there is no other: its word counts whichever part it took.
   */
  #fits({ id, numericClass }: Candidate, { primary, shadows }: Route['stages'][number], role: Lease['role']): boolean {
    if (id === primary.id) return false;
    if (role === 'referee') return this.#deps.isAnchor(id) && isExactClass(numericClass);
    return numericClass === primary.numericClass && shadows.every((shadow) => shadow.id !== id);
  }

  /**
   * The best of them: a referee of a party's own class, which tells the last bit, the engine's before the runtime's; then not of
   * the stage, then of another prefix than its primary, then not new, then with least to do.
   */
  #best(
    free: readonly Candidate[],
    { primary, shadows }: Route['stages'][number],
    { role, exclude }: ReplayRequest,
  ): Candidate | undefined {
    const primaryPrefix = this.#deps.registry.get(primary.id)?.prefix;
    // A requester leaves the two that differ out of the search.
    const parties = [primary, ...shadows].filter(({ id }) => exclude.includes(id));
    const distance = ({ numericClass }: Candidate): number => {
      if (role !== 'referee') return 0;
      if (!parties.some((party) => isExactPair(party.numericClass, numericClass))) return 2;
      return dependsOnRuns(numericClass) ? 1 : 0;
    };
    const rank = (one: Candidate): number =>
      16 * distance(one) +
      (shadows.some((shadow) => shadow.id === one.id) ? 8 : 0) +
      (one.prefix === primaryPrefix ? 4 : 0) +
      (one.isNew ? 2 : 0) +
      one.running / (one.running + one.freeSlots);
    return [...free].sort((a, b) => rank(a) - rank(b))[0];
  }

  #grant(requester: PeerAddress, { request, role }: ReplayRequest, { lease, range, replica }: Grant): void {
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
      stages: [{ range, primary: replicaOf(replica), shadows: [], predictedMs: 0 }],
      notes: [],
    };
    leases.take(route, role);
    sign(route).then(
      (envelope) => send(requester, { type: 'routed', request, route: envelope }),
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
      : 'no other volunteer of this numeric class holds these layers';
  return { code: 'no-coverage', message };
}

function isSame(a: UnitSpan, b: UnitSpan): boolean {
  return a.start === b.start && a.end === b.end;
}
