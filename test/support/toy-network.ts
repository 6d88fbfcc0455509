import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { peerIdOf, type Identity, type VerifySignature } from '#shared/crypto/identity.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { ControlClient, ControlState } from '#shared/peer/control/control-client.ts';
import { Requester, type Conversation, type ConversationOptions } from '#shared/peer/requester/requester.ts';
import { ReplicaHost } from '#shared/peer/volunteer/replica-host.ts';
import { verifyProof, type ProvenFault } from '#shared/proof/verify-proof.ts';
import type { AnswerEvent, GenerateRequest } from '#shared/requester/answer-event.ts';
import { ROUTE_PAYLOAD_TYPE, type Replica, type Route } from '#shared/route/route.ts';
import { SEAT_PAYLOAD_TYPE, seatsOf, type SignedSeat } from '#shared/route/seat.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { FakeNetwork, type FakeLinks } from './fake-links.ts';
import { ToyCompute, toyDigest, toyManifest, TOY_LAYERS } from './toy-model.ts';

/** An identity whose signatures anybody could make: real ones take real time, which a fake clock does not wait for. */
export function toyIdentity(name: string): Identity {
  const publicKey = sha256(utf8(name)) as Uint8Array<ArrayBuffer>;
  return { id: peerIdOf(publicKey), publicKey, sign: async (message) => toySignature(publicKey, message) };
}

export const toyVerify: VerifySignature = async (publicKey, message, signature) =>
  equalBytes(toySignature(publicKey, message), signature);

/** The bytes that `toyVerify` takes for the signature of this key. */
export function toySignature(publicKey: Uint8Array, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const half = sha256(concatBytes(publicKey, message));
  return concatBytes(half, half);
}

export const serverIdentity = toyIdentity('server');

/** Three stages of the toy: embedding and two layers, two layers, two layers and the head. */
export const toyRanges: readonly StageRange[] = [0, 1, 2].map((stage) => ({
  start: 2 * stage,
  end: 2 * stage + 2,
  embedding: stage === 0,
  head: 2 * stage + 2 === TOY_LAYERS,
}));

export interface ToyVolunteer {
  readonly id: PeerId;
  readonly stage: number;
  readonly compute: ToyCompute;
  readonly links: FakeLinks;
  readonly host: ReplicaHost;
  /** What it has told the server of its sessions. */
  readonly told: readonly string[];
  numericClass: string;
  /** False for one that only the relay reaches, as routes say. */
  webrtc: boolean;
  /** Kept for replays; null for those who serve answers. */
  readonly reserve: 'arbiter' | 'referee' | null;
  /** Set for a third whose key is new. */
  isUnproven?: true;
}

type ServerEvent = Parameters<Parameters<ControlClient['onMessage']>[0]>[0];
type Release = Extract<PeerControlMessage, { type: 'release' }>;

/** A control socket whose server is the toy network's. */
export class ToyControl {
  readonly id: PeerId;
  readonly serverKey = serverIdentity.publicKey;
  readonly welcome: ControlClient['welcome'] = {
    type: 'welcome',
    id: serverIdentity.id,
    signature: '',
    peerToken: '',
    iceServers: [],
    heartbeatMs: 2000,
    serverTimeMs: 0,
    relayByDefault: false,
  };
  state: ControlState = { type: 'open' };
  readonly sent: PeerControlMessage[] = [];
  onSend: (message: PeerControlMessage) => void = () => undefined;
  readonly #messageListeners = new Set<(message: ServerEvent) => void>();
  readonly #stateListeners = new Set<(state: ControlState) => void>();

  constructor(id: PeerId) {
    this.id = id;
  }

  send(message: PeerControlMessage): void {
    this.sent.push(message);
    this.onSend(message);
  }

  say(message: ServerEvent): void {
    for (const listener of [...this.#messageListeners]) listener(message);
  }

  become(state: ControlState): void {
    this.state = state;
    for (const listener of [...this.#stateListeners]) listener(state);
  }

  onMessage(listener: (message: ServerEvent) => void): () => void {
    this.#messageListeners.add(listener);
    return () => this.#messageListeners.delete(listener);
  }

  onState(listener: (state: ControlState) => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }
}

/** Volunteers, requesters and a server that gives routes, all of them in this thread under one fake clock. */
export class ToyNetwork {
  /** How requesters verify signatures. */
  verifyOfRequesters: VerifySignature = toyVerify;
  readonly model = { manifest: toyManifest, digest: toyDigest };
  readonly clock = new FakeClock();
  readonly links = new FakeNetwork(this.clock);
  readonly volunteers: ToyVolunteer[] = [];
  /** The sockets of volunteers that hear of their seats over one. */
  readonly seatSockets = new Map<PeerId, (seat: Envelope) => void>();
  readonly routes: Route[] = [];
  readonly replays: { readonly role: 'arbiter' | 'referee'; readonly route: Route }[] = [];
  readonly releases: Release[] = [];
  /** The server's finding on each report; null where it did not accept it. */
  readonly reports: (ProvenFault | null)[] = [];
  /** Shadows that the server grants each stage where it has them. */
  shadows = 0;
  /** What routes say that each stage takes for one position. */
  predictedMs = 1;
  leaseMs = 15 * 60_000;
  #sessions = 0;
  #secrets = 0;

  /** `replicas` volunteers for each of the three stages. */
  constructor(replicas = 1, slots = 4) {
    for (let stage = 0; stage < toyRanges.length; stage++) {
      for (let n = 0; n < replicas; n++) this.addVolunteer(stage, slots);
    }
  }

  addVolunteer(stage: number, slots = 4, reserve: ToyVolunteer['reserve'] = null): ToyVolunteer {
    const volunteer = this.#start(toyIdentity(`volunteer ${this.volunteers.length}`), stage, slots, reserve);
    this.volunteers.push(volunteer);
    return volunteer;
  }

  /** Its tab is loaded again: it has its key, and has forgotten everything else. */
  reload(id: PeerId): void {
    const index = this.volunteers.findIndex((volunteer) => volunteer.id === id);
    const { stage, reserve } = this.volunteers[index]!;
    this.links.kill(id);
    this.volunteers[index] = this.#start(toyIdentity(`volunteer ${index}`), stage, 4, reserve);
  }

  #start(identity: Identity, stage: number, slots: number, reserve: ToyVolunteer['reserve']): ToyVolunteer {
    const { id } = identity;
    const range = toyRanges[stage] as StageRange;
    const compute = new ToyCompute(range, this.clock);
    const links = this.links.join(id);
    const backend = { numericClass: 'wasm', runtimeVersion: toyManifest.pins.runtimeVersion };
    const told: string[] = [];
    const host = new ReplicaHost({
      identity,
      config: { loaded: { model: toyDigest, range, manifest: toyManifest }, slots, backend },
      authority: { serverKey: serverIdentity.publicKey, verify: toyVerify },
      links,
      compute,
      clock: this.clock,
      random: randomBytes,
      tell: ({ type, session }) => told.push(`${type} ${session}`),
      onActivity: () => undefined,
    });
    return {
      ...{ id, stage, compute, links, host, reserve, told, webrtc: true },
      get numericClass() {
        return backend.numericClass;
      },
      set numericClass(numericClass) {
        backend.numericClass = numericClass;
      },
    };
  }

  of(stage: number): ToyVolunteer[] {
    return this.volunteers.filter((volunteer) => volunteer.stage === stage);
  }

  requester(name = 'requester'): { readonly id: PeerId; readonly control: ToyControl; readonly requester: Requester } {
    const identity = toyIdentity(name);
    const { id } = identity;
    const control = new ToyControl(id);
    control.onSend = (message) => void this.#answer(control, message);
    const requester = new Requester({
      control,
      links: this.links.join(id),
      identity,
      clock: this.clock,
      random: (count) => sha256(utf8(`${name} ${this.#secrets++}`)).slice(0, count),
      verify: (...signed) => this.verifyOfRequesters(...signed),
      webrtc: true,
    });
    return { id, control, requester };
  }

  conversation(options: ConversationOptions = {}): Conversation {
    return this.requester().requester.openConversation(this.model, options);
  }

  /** A route over the first volunteers of each stage that are not left out. */
  route(requester: PeerId, capacity: number, exclude: readonly PeerId[] = [], shadows = 0): Route | null {
    const stages = toyRanges.map((range, stage) => {
      const [primary, ...others] = this.#free(stage, null, exclude).map(toReplica);
      return primary && { range, primary, shadows: others.slice(0, shadows), predictedMs: this.predictedMs };
    });
    if (stages.includes(undefined)) return null;
    const found = stages.filter((stage) => stage !== undefined);
    return { ...this.#routeParts(requester, capacity), purpose: 'answer', stages: found };
  }

  #free(stage: number, reserve: ToyVolunteer['reserve'], exclude: readonly PeerId[]): ToyVolunteer[] {
    return this.of(stage).filter(
      (volunteer) =>
        volunteer.reserve === reserve && !exclude.includes(volunteer.id) && this.links.peer(volunteer.id) !== undefined,
    );
  }

  #routeParts(requester: PeerId, capacity: number): Omit<Route, 'purpose' | 'stages'> {
    const wallMs = this.clock.wallMs();
    return {
      session: (++this.#sessions).toString(16).padStart(32, '0') as SessionId,
      model: toyDigest,
      requester: { id: requester, webrtc: true },
      capacity,
      issuedAtMs: wallMs,
      expiresAtMs: wallMs + this.leaseMs,
      notes: [],
    };
  }

  /** Gives the replicas of a route their seats, as the server does. */
  async seat(route: Route, by: Identity = serverIdentity): Promise<void> {
    await Promise.all(seatsOf(route).map((seat) => this.giveSeat(seat, seat.volunteer, by)));
  }

  async giveSeat(seat: SignedSeat, to: PeerId, by: Identity = serverIdentity): Promise<void> {
    const envelope = await signEnvelope(by, SEAT_PAYLOAD_TYPE, utf8(JSON.stringify(seat)));
    const say = this.seatSockets.get(to);
    if (say !== undefined) say(envelope);
    else this.volunteers.find(({ id }) => id === to)?.host.seat(envelope);
  }

  sign(route: Route, by: Identity = serverIdentity): Promise<Envelope> {
    return signEnvelope(by, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route)));
  }

  async #answer(control: ToyControl, message: PeerControlMessage): Promise<void> {
    switch (message.type) {
      case 'release':
        this.releases.push(message);
        return;
      case 'route': {
        const { request, capacity, exclude, policy } = message;
        const route = this.route(control.id, capacity, exclude, Math.min(this.shadows, policy.shadows));
        if (route !== null) this.routes.push(route);
        return this.#grant(control, request, route);
      }
      case 'replay': {
        const { request, session, stage, role, exclude } = message;
        const of = this.routes.find((route) => route.session === session)!;
        const [third] = this.#free(stage, role, exclude).map(toReplica);
        const { range } = of.stages[stage]!;
        const stages = third && [{ range, primary: third, shadows: [], predictedMs: 1 }];
        const parts = this.#routeParts(control.id, of.capacity);
        const route: Route | null = stages === undefined ? null : { ...parts, purpose: 'replay', stages };
        if (route !== null) this.replays.push({ role, route });
        return this.#grant(control, request, route);
      }
      case 'report':
        return this.#judge(control, message);
      default:
        return;
    }
  }

  async #grant(control: ToyControl, request: number, route: Route | null): Promise<void> {
    if (route !== null) {
      await this.seat(route);
      return control.say({ type: 'routed', request, route: await this.sign(route) });
    }
    control.say({ type: 'refused', request, code: 'no-coverage', message: 'nobody holds it', missing: null });
  }

  async #judge(control: ToyControl, report: Extract<PeerControlMessage, { type: 'report' }>): Promise<void> {
    const fault = await verifyProof(report.proof, {
      serverKey: serverIdentity.publicKey,
      verify: toyVerify,
      isReferee: (peer) => this.volunteers.some(({ id, reserve }) => id === peer && reserve === 'referee'),
      manifest: () => toyManifest,
    }).catch(() => null);
    this.reports.push(fault);
    control.say({ type: 'reported', request: report.request, accepted: fault !== null, reason: '' });
  }

  /** Sessions that some volunteer still has. */
  get openSessions(): number {
    return this.volunteers.reduce((sum, { host, compute }) => sum + host.sessionCount + compute.sessionCount, 0);
  }

  /** Moves time on until the promise has settled. */
  async until<Value>(promise: Promise<Value>, limitMs = 600_000): Promise<Value> {
    let isSettled = false;
    const settled = promise.finally(() => (isSettled = true));
    settled.catch(() => undefined);
    const endMs = this.clock.nowMs() + limitMs;
    while (!isSettled) {
      await settle();
      if (isSettled) break;
      const delayMs = this.clock.nextDelayMs;
      if (delayMs === undefined || this.clock.nowMs() + delayMs > endMs) throw new Error('nothing happens any more');
      await this.clock.advance(delayMs);
    }
    return settled;
  }

  /** A whole answer, moving time on; `onEvent` sees each event before time goes on. */
  ask(
    conversation: Conversation,
    request: GenerateRequest,
    onEvent: (event: AnswerEvent) => void = () => undefined,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<{ tokens: number[]; events: AnswerEvent[] }> {
    return this.until(collect(conversation, { ...request, signal }, onEvent));
  }
}

function toReplica({ id, numericClass, webrtc, isUnproven }: ToyVolunteer): Replica {
  return { id, webrtc, numericClass, ...(isUnproven && { isUnproven }) };
}

/** Reads an answer to its end. */
export async function collect(
  conversation: Conversation,
  request: GenerateRequest & { readonly signal: AbortSignal },
  onEvent: (event: AnswerEvent) => void = () => undefined,
): Promise<{ tokens: number[]; events: AnswerEvent[] }> {
  const tokens: number[] = [];
  const events: AnswerEvent[] = [];
  for await (const event of conversation.generate(request)) {
    events.push(event);
    if (event.type === 'token') tokens.push(event.token);
    onEvent(event);
  }
  return { tokens, events };
}
