import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { Requester } from '#shared/peer/requester/requester.ts';
import { ReplicaHost } from '#shared/peer/volunteer/replica-host.ts';
import { type ProvenFault, verifyProof } from '#shared/proof/verify-proof.ts';
import type { AnswerEvent, GenerateRequest } from '#shared/requester/answer-event.ts';
import { ROUTE_PAYLOAD_TYPE, type Replica, type Route } from '#shared/route/route.ts';
import { SEAT_PAYLOAD_TYPE, seatsOf } from '#shared/route/seat.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { FakeNetwork } from '../support/fake-links.ts';
import { collect, serverIdentity, ToyControl, toyIdentity, toyVerify } from '../support/toy-network.ts';
import type { TracedModel } from '../support/traces/tracer.ts';
import { lyingLinks, type Forge } from './lying-links.ts';
import type { ComputePool } from './memo-compute.ts';

export type Role = 'primary' | 'shadow' | 'spare' | 'arbiter' | 'referee';

export interface Member {
  readonly identity: Identity;
  readonly id: PeerId;
  readonly stage: number;
  readonly role: Role;
}

export interface WrenNetworkOptions {
  readonly model: TracedModel;
  readonly ranges: readonly StageRange[];
  readonly pool: ComputePool;
  /** The compute of a member, in place of `honest`. */
  readonly computeOf?: (member: Member, honest: StageCompute) => StageCompute;
  /** The messages that a member sends in place of its engine's. */
  readonly forgeOf?: (member: Member, network: WrenNetwork) => Forge | null;
  /** Replicas of a stage that may be given: the first is the primary, then come shadows. */
  readonly roles?: readonly Role[];
  readonly shadows?: number;
}

const SLOTS = 16;

/**
 * The default model in a network of real engines, links in this thread and a clock that stands still while somebody
 * computes. The server gives routes in the order of `roles`, and judges reports by itself.
 */
export class WrenNetwork {
  readonly clock = new FakeClock();
  readonly links = new FakeNetwork(this.clock);
  readonly members: Member[] = [];
  /** The routes that were given, as the server signed them. */
  readonly signed = new Map<SessionId, Envelope>();
  readonly #hosts = new Map<PeerId, ReplicaHost>();
  /** The server's finding on each report; null for those it did not believe. */
  readonly reports: (ProvenFault | null)[] = [];
  readonly replays: ('arbiter' | 'referee')[] = [];
  readonly #options: WrenNetworkOptions;
  readonly #digest: ReturnType<typeof digestOf>;
  readonly #routes: Route[] = [];
  #sessions = 0;
  #secrets = 0;

  constructor(options: WrenNetworkOptions) {
    this.#options = options;
    this.#digest = digestOf(utf8(JSON.stringify(options.model.manifest)));
    const { roles = ['primary', 'shadow', 'spare', 'arbiter', 'referee'] } = options;
    for (const [stage] of options.ranges.entries()) for (const role of roles) this.#join(stage, role);
  }

  #join(stage: number, role: Role): void {
    const { model, ranges, pool, computeOf, forgeOf } = this.#options;
    const identity = toyIdentity(`${role} ${stage} ${this.members.length}`);
    const member: Member = { identity, id: identity.id, stage, role };
    const range = ranges[stage]!;
    const honest = pool.compute(model, range);
    this.members.push(member);
    const links = this.links.join(identity.id);
    const forge = forgeOf?.(member, this) ?? null;
    const host = new ReplicaHost({
      identity,
      config: {
        loaded: { model: this.#digest, range, manifest: model.manifest },
        slots: SLOTS,
        backend: { numericClass: ENGINE_CLASS, runtimeVersion: model.manifest.pins.runtimeVersion },
      },
      authority: { serverKey: serverIdentity.publicKey, verify: toyVerify },
      links: forge === null ? links : lyingLinks(links, forge),
      compute: computeOf?.(member, honest) ?? honest,
      clock: this.clock,
      random: randomBytes,
      tell: () => undefined,
      onActivity: () => undefined,
    });
    this.#hosts.set(identity.id, host);
  }

  member(stage: number, role: Role): Member {
    const found = this.members.find((member) => member.stage === stage && member.role === role);
    if (found === undefined) throw new Error(`no ${role} of stage ${stage}`);
    return found;
  }

  /** One answer, from the first event to the last, in a conversation of its own. */
  async ask(request: GenerateRequest, onEvent: (event: AnswerEvent) => void = () => undefined): Promise<AnswerEvent[]> {
    const identity = toyIdentity('requester');
    const control = new ToyControl(identity.id);
    control.onSend = (message) => void this.#answer(control, message);
    const requester = new Requester({
      control,
      links: this.links.join(identity.id),
      identity,
      clock: this.clock,
      random: (count) => sha256(utf8(`secret ${this.#secrets++}`)).slice(0, count),
      verify: toyVerify,
      webrtc: true,
    });
    const conversation = requester.openConversation({ manifest: this.#options.model.manifest, digest: this.#digest });
    const { signal } = new AbortController();
    const events: AnswerEvent[] = [];
    const keep = (event: AnswerEvent): void => {
      events.push(event);
      onEvent(event);
    };
    await this.#until(collect(conversation, { ...request, signal }, keep));
    conversation.close();
    await this.#idle();
    return events;
  }

  /** A proof as a requester sends it, to be judged as the server does. Null if it shows nothing. */
  judge(proof: Parameters<typeof verifyProof>[0]): Promise<ProvenFault | null> {
    return verifyProof(proof, {
      serverKey: serverIdentity.publicKey,
      verify: toyVerify,
      isReferee: (peer) => this.members.some(({ id, role }) => id === peer && role === 'referee'),
      manifest: () => this.#options.model.manifest,
    }).catch(() => null);
  }

  async #answer(control: ToyControl, message: PeerControlMessage): Promise<void> {
    switch (message.type) {
      case 'route':
        return this.#grant(control, message.request, this.#route(control.id, message));
      case 'replay': {
        const of = this.#routes.find(({ session }) => session === message.session)!;
        const third = this.#free(message.stage, [message.role], message.exclude)[0];
        if (third !== undefined) this.replays.push(message.role);
        const stages = third && [
          { range: of.stages[message.stage]!.range, primary: third, shadows: [], predictedMs: 1 },
        ];
        const route: Route | null = stages
          ? { ...this.#parts(control.id, of.capacity), purpose: 'replay', stages }
          : null;
        return this.#grant(control, message.request, route);
      }
      case 'report': {
        const fault = await this.judge(message.proof);
        this.reports.push(fault);
        control.say({ type: 'reported', request: message.request, accepted: fault !== null, reason: '' });
        return;
      }
      default:
        return;
    }
  }

  #route(requester: PeerId, { capacity, exclude }: { capacity: number; exclude: readonly PeerId[] }): Route | null {
    const { ranges, shadows = 1 } = this.#options;
    const stages: Route['stages'] = [];
    for (const [stage, range] of ranges.entries()) {
      const [primary, ...others] = this.#free(stage, ['primary', 'shadow', 'spare'], exclude);
      if (primary === undefined) return null;
      stages.push({ range, primary, shadows: others.slice(0, shadows), predictedMs: 1 });
    }
    const route: Route = { ...this.#parts(requester, capacity), purpose: 'answer', stages };
    this.#routes.push(route);
    return route;
  }

  #free(stage: number, roles: readonly Role[], exclude: readonly PeerId[]): Replica[] {
    return this.members
      .filter((member) => member.stage === stage && roles.includes(member.role) && !exclude.includes(member.id))
      .map(({ id }) => ({ id, webrtc: true, numericClass: ENGINE_CLASS }));
  }

  #parts(requester: PeerId, capacity: number): Omit<Route, 'purpose' | 'stages'> {
    const wallMs = this.clock.wallMs();
    return {
      session: (++this.#sessions).toString(16).padStart(32, '0') as SessionId,
      model: this.#digest,
      requester: { id: requester, webrtc: true },
      capacity,
      issuedAtMs: wallMs,
      expiresAtMs: wallMs + 15 * 60_000,
      notes: [],
    };
  }

  async #grant(control: ToyControl, request: number, route: Route | null): Promise<void> {
    if (route === null) {
      control.say({ type: 'refused', request, code: 'no-coverage', message: 'nobody holds it', missing: null });
      return;
    }
    const envelope = await signEnvelope(serverIdentity, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route)));
    this.signed.set(route.session, envelope);
    for (const seat of seatsOf(route)) {
      const signed = await signEnvelope(serverIdentity, SEAT_PAYLOAD_TYPE, utf8(JSON.stringify(seat)));
      this.#hosts.get(seat.volunteer)?.seat(signed);
    }
    control.say({ type: 'routed', request, route: envelope });
  }

  /** Moves time on, but never while somebody computes, until the promise has settled. */
  async #until(promise: Promise<unknown>): Promise<void> {
    let isSettled = false;
    const settled = promise.finally(() => (isSettled = true));
    settled.catch(() => undefined);
    const endMs = this.clock.nowMs() + 3_600_000;
    for (;;) {
      await this.#idle();
      if (isSettled) break;
      const delayMs = this.clock.nextDelayMs;
      if (delayMs === undefined || this.clock.nowMs() > endMs) throw new Error('nothing happens any more');
      await this.clock.advance(delayMs);
    }
    await settled;
  }

  async #idle(): Promise<void> {
    do await settle();
    while (this.#options.pool.pending > 0);
    await settle();
  }
}
