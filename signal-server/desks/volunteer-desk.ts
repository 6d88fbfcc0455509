import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { ErrorCode } from '#shared/errors.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd } from '../peer-router/control-router.ts';
import type { Leases } from '../placement/leases.ts';
import { chooseMoves } from '../placement/placement-moves.ts';
import { choosePlace, whyIdle, type Choice, type Hand } from '../placement/placement.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import { modelSupply, type ModelSupply } from '../placement/model-fit.ts';
import { heldPlaces, type Member, type RegisteredVolunteer, type Registry } from '../placement/registry.ts';
import type { StandIns } from '../hidden/stand-ins.ts';
import { GivenPlaces } from '../placement/given-places.ts';
import { haveOneNetwork, placeLots } from '../placement/place-lots.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import { networkOf } from '../placement/network.ts';
import type { Gate } from '../routing/candidate.ts';
import type { Standing, Trust } from '../trust/trust.ts';

export type VolunteerMessage = Extract<
  PeerControlMessage,
  { type: 'offer' | 'ready' | 'failed' | 'heartbeat' | 'pause' | 'withdraw' }
>;

export interface VolunteerDeskDeps {
  readonly clock: Clock;
  readonly registry: Registry;
  readonly leases: Leases;
  readonly random: RandomBytes;
  readonly trust: Pick<Trust, 'suspension'> & {
    standing(...key: Parameters<Trust['standing']>): Pick<Standing, 'isNew'>;
  };
  /** True for the server's own anchors. */
  readonly isAnchor: (id: PeerId) => boolean;
  /** Volunteers of the server's own that placement does not count, and the stage that each of them is to have. */
  readonly standIns: Pick<StandIns, 'placeOf' | 'isStandIn' | 'failed'>;
  readonly models: () => readonly PlannedModel[];
  /** As of `ModelDemand`. */
  readonly asked: () => ReadonlySet<Digest>;
  readonly send: DesksEnd['send'];
  /** As of `CandidateSources`: a stage whose holder may not be given work counts as one that nobody holds. */
  readonly gateOf: (member: Member) => Gate;
  /** A volunteer has loaded its stage. */
  readonly onReady: (member: Member) => void;
  /** Called after each change that may let a waiting request go on. */
  readonly onSupply: () => void;
  readonly times: Config['times'];
}

/** Failures to get a stage, not to hold it: they say nothing of how large a stage the device can bear. */
const PASSING: ReadonlySet<string> = new Set<ErrorCode>([
  'server-lost',
  'link-lost',
  'not-found',
  'rate-limited',
  'timeout',
  'digest-mismatch',
]);
/** However lively it is, a load has ended after so many times the silence that ends it. */
const MOST_SILENCES = 60;
/** Failures that may be of either kind count as the first so many times in a row. */
const MAX_UNCLEAR = 3;
const TRIED_AGAIN = 'the layers could not be fetched: they are tried again in a moment';

/** Gives volunteers their work: carries out what placement decides. */
export class VolunteerDesk {
  readonly #deps: VolunteerDeskDeps;
  /** What new keys draw their stages by. */
  readonly #secret: Uint8Array;
  readonly #given = new GivenPlaces();
  #unsettledAtMs = -Infinity;
  /** As long as nobody comes, goes or is given other work. */
  readonly #supplies = new Map<Digest, { readonly key: string; readonly supply: ModelSupply }>();

  constructor(deps: VolunteerDeskDeps) {
    this.#deps = deps;
    this.#secret = deps.random(32);
  }

  receive(member: Member, message: VolunteerMessage): void {
    const { registry } = this.#deps;
    if (message.type === 'offer') {
      registry.offer(member, message);
      this.#placeIdle(member);
      return;
    }
    const { volunteer } = member;
    // Anything else from a peer that has withdrawn crossed our last message on the way.
    if (volunteer === null) return;
    switch (message.type) {
      case 'ready':
        if (!registry.ready(volunteer, message)) return;
        this.#deps.onReady(member);
        this.#deps.onSupply();
        return;
      case 'failed':
        this.#failed(member, volunteer, message);
        return;
      case 'heartbeat':
        registry.heartbeat(volunteer, message);
        return;
      case 'pause':
        registry.pause(volunteer);
        this.#unsettle();
        return;
      case 'withdraw':
        registry.withdraw(member);
        this.#unsettle();
        return;
    }
  }

  /** Takes the work from a key that has been suspended, and says why. Its running sessions are their requesters' affair. */
  suspended(id: PeerId): void {
    const { registry } = this.#deps;
    const member = registry.get(id);
    const volunteer = member?.volunteer ?? null;
    if (member === undefined || volunteer === null || volunteer.state === 'paused') return;
    registry.release(volunteer);
    this.#placeIdle(member);
    this.#unsettle();
  }

  /** What a model lacks, and whether somebody loads it. */
  supplyOf(model: PlannedModel): ModelSupply {
    const hands = this.#hands();
    const key = hands
      .map(
        ({ id, placed, pledgeBytes, backend, hasProcessor, slots }) =>
          `${id} ${pledgeBytes} ${backend} ${hasProcessor} ${slots} ${placed?.model} ${placed?.span.start} ${placed?.span.end}`,
      )
      .join();
    const known = this.#supplies.get(model.digest);
    if (known?.key === key) return known.supply;
    const supply = modelSupply(model, hands);
    this.#supplies.set(model.digest, { key, supply });
    return supply;
  }

  /** A volunteer's socket closed. It may be back in a moment, so nobody is moved for a while. */
  left(): void {
    this.#unsettle();
  }

  /** Work for those without any, and the moves that are worth it. To be called every `rebalanceMs`. */
  tick(): void {
    const { clock, registry, times } = this.#deps;
    const nowMs = clock.nowMs();
    for (const member of registry.members) {
      const { volunteer } = member;
      if (volunteer?.state !== 'loading') continue;
      const { heardMs, sinceMs } = volunteer.assignment!;
      // A large stage on a slow link takes its time, and whoever only says so has an end too.
      const isOver = nowMs - heardMs > times.loadTimeoutMs || nowMs - sinceMs > MOST_SILENCES * times.loadTimeoutMs;
      if (isOver) registry.timedOut(volunteer);
    }
    for (const member of registry.members) if (member.volunteer?.state === 'idle') this.#placeIdle(member, true);
    if (nowMs - this.#unsettledAtMs < times.rebalanceMs) return;
    for (const move of chooseMoves(this.#hands(), this.#deps.models(), this.#deps.asked()))
      this.#assign(registry.get(move.id)!, move);
  }

  #unsettle(): void {
    this.#unsettledAtMs = this.#deps.clock.nowMs();
    this.#deps.onSupply();
  }

  #failed(member: Member, volunteer: RegisteredVolunteer, fault: Extract<VolunteerMessage, { type: 'failed' }>): void {
    const barred =
      fault.code === 'probe-failed'
        ? 'this device computes differently from what the model expects, so it may not serve'
        : fault.code === 'unsupported'
          ? `this device cannot run the model: ${fault.message}`
          : null;
    const { registry, standIns } = this.#deps;
    standIns.failed(member.id, fault.message);
    const isPassing =
      PASSING.has(fault.code) || (fault.code === 'internal' && (volunteer.resting?.failures ?? 0) < MAX_UNCLEAR);
    const isTaken = isPassing
      ? registry.rest(volunteer, fault.assignment)
      : registry.failed(volunteer, fault.assignment, barred);
    if (!isTaken) return;
    this.#placeIdle(member);
    this.#deps.onSupply();
  }

  #placeIdle(member: Member, isRetry = false): void {
    const volunteer = member.volunteer!;
    const { resting } = volunteer;
    const fixed = this.#deps.standIns.placeOf(member.id);
    if (fixed !== null) return this.#assign(member, { ...fixed, reason: 'hidden sessions need somebody here' });
    const isResting = resting !== null && this.#deps.clock.nowMs() < resting.untilMs;
    const models = this.#deps.models().filter(({ digest }) => !isResting || digest !== resting.model);
    const hand = this.#handOf(member, volunteer);
    const others = this.#hands().filter((other) => other.id !== member.id);
    const barred = volunteer.barred ?? this.#whySuspended(member.id);
    const lotOf = hand.isNew ? placeLots(this.#secret, hand, haveOneNetwork([hand, ...others])) : null;
    const choice = barred === null ? choosePlace(hand, others, models, lotOf, this.#deps.asked()) : null;
    if (choice !== null) this.#assign(member, choice);
    else if (!isRetry)
      this.#deps.send(member, {
        type: 'idle',
        reason: (barred ?? (isResting ? TRIED_AGAIN : whyIdle(hand, models, others))).slice(0, MAX_REASON_CHARACTERS),
      });
  }

  #whySuspended(id: PeerId): string | null {
    const suspension = this.#deps.trust.suspension(id);
    if (suspension === null) return null;
    const until = new Date(suspension.untilMs).toISOString().slice(0, 16).replace('T', ' ');
    return `suspended until ${until} UTC after a proven fault: ${suspension.reason}`;
  }

  #assign(member: Member, choice: Choice): void {
    const model = this.#deps.models().find((planned) => planned.digest === choice.model);
    if (model === undefined || member.volunteer === null) return;
    const { number } = this.#deps.registry.assign(member.volunteer, choice);
    this.#given.note(member.id, choice);
    this.#deps.send(member, {
      type: 'assign',
      assignment: number,
      model: model.digest,
      range: rangeOf(choice.span, model.layers),
      reason: choice.reason,
    });
  }

  #hands(): Hand[] {
    return this.#deps.registry.members.flatMap((member) => {
      const { volunteer } = member;
      if (this.#deps.standIns.isStandIn(member.id)) return [];
      const isThere = volunteer !== null && volunteer.state !== 'paused' && this.#deps.gateOf(member) !== 'closed';
      return isThere ? [this.#handOf(member, volunteer)] : [];
    });
  }

  #handOf(member: Member, volunteer: RegisteredVolunteer): Hand {
    const { offer } = volunteer;
    const sinceMoveMs = this.#deps.clock.nowMs() - volunteer.movedAtMs;
    const isAnchor = this.#deps.isAnchor(member.id);
    const { isNew } = this.#deps.trust.standing(member.id, offer.numericClass);
    const held = heldPlaces(offer);
    return {
      id: member.id,
      network: networkOf(member, isAnchor),
      isAnchor,
      isNew,
      backend: offer.backend,
      hasProcessor: offer.hasProcessor ?? true,
      runtimeVersion: offer.runtimeVersion,
      pledgeBytes: offer.pledgeBytes,
      slots: offer.slots,
      layerMs: volunteer.layerMs,
      held: isNew ? held.filter((place) => this.#given.has(member.id, place)) : held,
      failed: volunteer.failed,
      placed: volunteer.assignment,
      isReady: volunteer.state === 'ready',
      mayMove: this.#deps.leases.running(member.id) === 0 && sinceMoveMs >= this.#deps.times.moveCooldownMs,
    };
  }
}
