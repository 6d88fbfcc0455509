import type { Clock, RandomBytes } from '#shared/clock.ts';
import { fromStrictBase64 } from '#shared/bytes.ts';
import { peerIdOf, type VerifySignature } from '#shared/crypto/identity.ts';
import { drawInput, drawRequestBytes } from '#shared/draw/draw-request.ts';
import type { VrfResult } from '#shared/draw/vrf.ts';
import type { PeerId } from '#shared/ids.ts';
import { SESSION_LEASE_MS } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { LogService } from '../log/log-service.ts';
import type { DesksEnd } from '../peer-router/control-router.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member, Registry } from '../placement/registry.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { RouteRequest } from '../routing/route-queue.ts';
import type { PlannedStage } from '../routing/scheduler.ts';
import { DrawLedger } from './draw-ledger.ts';
import { RosterKeeper, type RosterKeeperDeps } from './roster-keeper.ts';
import { RouteDrawer, type DrawnRoute } from './route-drawer.ts';
import { VolunteerStates } from './volunteer-states.ts';

export type DrawMessage = Extract<PeerControlMessage, { type: 'look' | 'state' }>;

/** How long who worked for a requester may be left out by it, as somebody that it lost: the longest session, and a while more. */
const WORKED_MS = SESSION_LEASE_MS + 5 * 60_000;
/** Requesters whose volunteers are remembered for that. */
const MOST_REQUESTERS = 4_096;

export interface DrawDeskDeps extends Pick<RosterKeeperDeps, 'startProver'> {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly log: Pick<LogService, 'append' | 'inclusion' | 'head'>;
  /** Id of the server's key. */
  readonly server: PeerId;
  readonly registry: Registry;
  readonly models: () => readonly PlannedModel[];
  /** Everybody who holds a stage of the model, as a requester of one position sees them. */
  readonly candidatesOf: (model: PlannedModel) => readonly Candidate[];
  readonly isGateway: (id: PeerId) => boolean;
  readonly send: DesksEnd['send'];
  readonly verify: VerifySignature;
  readonly onError: (error: unknown) => void;
}

/** Everything about draws that anybody can repeat: the roster, the requests and their numbers, and the draws themselves. */
export class DrawDesk {
  readonly #deps: DrawDeskDeps;
  readonly #rosters: RosterKeeper;
  readonly #ledger: DrawLedger;
  readonly #states: VolunteerStates;
  readonly #drawer: RouteDrawer;
  /** Outputs of the VRF for requests that wait. */
  readonly #proved = new WeakMap<RouteRequest, VrfResult>();
  /** Who worked for a requester, and until when that is remembered. */
  readonly #worked = new Map<PeerId, Map<PeerId, number>>();

  constructor(deps: DrawDeskDeps) {
    this.#deps = deps;
    const { clock, server, verify } = deps;
    this.#rosters = new RosterKeeper(deps);
    this.#ledger = new DrawLedger(deps);
    this.#states = new VolunteerStates({ server, verify, wallMs: () => clock.wallMs() });
    this.#drawer = new RouteDrawer({ server, rosters: this.#rosters, states: this.#states });
  }

  receive(member: Member, message: DrawMessage): void {
    const { onError, send } = this.#deps;
    if (message.type === 'look') {
      this.#rosters.show().then((note) => send(member, { type: 'checkpoint', note }), onError);
      return;
    }
    const { type: _type, ...state } = message;
    if (member.volunteer !== null) this.#states.take(member.id, state).catch(onError);
  }

  /** Why a request cannot be drawn for, and is refused; null where it can: then its draw is made ready. */
  async whyRefused(member: Member, asked: RouteRequest): Promise<string | null> {
    const { capacity, draw, model, policy } = asked;
    if (draw === undefined) return null;
    const { publicKey, signature, ...request } = draw;
    const [key, signed] = [fromStrictBase64(publicKey), fromStrictBase64(signature)];
    if (request.shadows !== policy.shadows) return 'the draw that it asks for is of another number of shadows';
    if (key === null || signed === null || peerIdOf(key) !== member.id)
      return 'the draw that it asks for is signed by another key';
    const context = { server: this.#deps.server, model, requester: member.id, capacity };
    const isSigned = await this.#deps.verify(key, drawRequestBytes(request, context), signed);
    if (!isSigned) return 'the draw that it asks for is not signed by its key';
    const shown = this.#rosters.shown(request.checkpoint.size, request.checkpoint.root);
    if (shown !== undefined && asked.after === undefined && !this.#deps.isGateway(member.id))
      this.#proved.set(asked, await this.#rosters.prove(drawInput(request, context, shown.commitment.root)));
    return null;
  }

  /** The replicas of a route that is given now. */
  draw(
    model: PlannedModel,
    { id, prefix }: Pick<Member, 'id' | 'prefix'>,
    request: RouteRequest,
    planned: readonly PlannedStage[],
    candidates: readonly Candidate[],
  ): DrawnRoute {
    // Who asks could try nonces until a draw pleases it: of its own draws the server's word is no better by any.
    if (this.#deps.isGateway(id))
      return byServer(planned, 'it asked itself, for a client of its API or in its own name');
    if (request.draw === undefined) return byServer(planned, 'the request names no checkpoint');
    // An answer goes without a draw sooner than not at all.
    if (this.#ledger.isFull) return byServer(planned, 'the log takes no draws now');
    const { publicKey: _key, ...asked } = request.draw;
    const count = this.#ledger.count(prefix);
    const worked = this.#worked.get(id);
    // Whom the server never gave it nobody may leave out: else it could choose by naming all others.
    const leftOut = new Set(request.exclude.filter((volunteer) => worked?.has(volunteer)));
    const drawn =
      request.after === undefined
        ? this.#drawer.draw(model, planned, candidates, {
            ...{ request: asked, count, requester: id, capacity: request.capacity, leftOut },
            proved: this.#proved.get(request),
          })
        : byServer(planned, 'it takes the place of another route of this answer, and who stays was not drawn anew');
    this.#ledger.note(count, id, asked, drawn.record.by === 'roster' ? 'drawn' : 'chosen');
    this.#remember(id, drawn.stages);
    return drawn;
  }

  /** A request that came to nothing. */
  ended({ id, prefix }: Pick<Member, 'id' | 'prefix'>, { draw }: RouteRequest, outcome: 'refused' | 'abandoned'): void {
    if (draw === undefined || this.#ledger.isFull) return;
    this.#ledger.note(this.#ledger.count(prefix), id, draw, outcome);
  }

  /** To be called about once a second. */
  async tick(): Promise<void> {
    this.#forget();
    await Promise.all([this.#rosters.tick(), this.#ledger.write()]);
  }

  /** Logs what waits for it. */
  stop(): Promise<void> {
    this.#rosters.stop();
    return this.#ledger.write();
  }

  #remember(requester: PeerId, stages: readonly PlannedStage[]): void {
    const untilMs = this.#deps.clock.nowMs() + WORKED_MS;
    const known = this.#worked.get(requester) ?? new Map<PeerId, number>();
    for (const { primary, shadows } of stages) for (const { id } of [primary, ...shadows]) known.set(id, untilMs);
    this.#worked.delete(requester);
    this.#worked.set(requester, known);
    for (const oldest of this.#worked.keys()) {
      if (this.#worked.size <= MOST_REQUESTERS) break;
      this.#worked.delete(oldest);
    }
  }

  #forget(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const [requester, volunteers] of this.#worked) {
      for (const [id, untilMs] of volunteers) if (untilMs <= nowMs) volunteers.delete(id);
      if (volunteers.size === 0) this.#worked.delete(requester);
    }
  }
}

function byServer(stages: readonly PlannedStage[], reason: string): DrawnRoute {
  return { stages, record: { by: 'server', reason } };
}
