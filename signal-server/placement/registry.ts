import { backoffMs } from '#shared/backoff.ts';
import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import type { Offer, PeerControlMessage } from '#shared/wire/control-message.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';
import type { Placed } from './placement.ts';
import { spanOf } from './stage-grid.ts';

/** How long a volunteer waits before it tries again what it could not get. */
const REST = { firstMs: 2_000, maxMs: 30_000 };

type Ready = Pick<Extract<PeerControlMessage, { type: 'ready' }>, 'assignment' | 'layerMs' | 'numericClass'>;

type Heartbeat = Extract<PeerControlMessage, { type: 'heartbeat' }>;

export interface Assignment extends Placed {
  readonly number: number;
  readonly sinceMs: number;
  /** When its loading was last heard to go on, and how far it was then. */
  heardMs: number;
  loadSteps: number;
}

/** What a hidden session showed of a volunteer in the stage that it holds. */
export interface Tried {
  /** Monotonic milliseconds of the newest that it passed. */
  readonly atMs: number;
  /** Milliseconds for one unit of its stage, as the server's own laps took; links included. */
  readonly layerMs: number;
}

/** Nothing of this model until then, after so many failures in a row. */
export interface Resting {
  readonly model: Placed['model'];
  readonly untilMs: number;
  readonly failures: number;
}

/** A peer that lends its device. `Registry` owns every field that is not readonly. */
export interface RegisteredVolunteer {
  offer: Offer;
  state: 'idle' | 'loading' | 'ready' | 'paused';
  assignment: Assignment | null;
  /** The assignment it was given up on for want of time and may still be loading, where there was no other work for it. */
  overdue: Assignment | null;
  layerMs: number | null;
  /** Null until it has passed a hidden session of this assignment, or one that it failed takes it away again. */
  tried: Tried | null;
  /** True once hidden sessions have held its rows to equal bits, or to limits that were measured for its class. */
  measuredClass: boolean;
  /** As its last heartbeat said. */
  tokens: number;
  isHidden: boolean;
  /** Stages it could not load in this sitting. */
  failed: Placed[];
  /** What it could not get for a moment, which says nothing of its size. */
  resting: Resting | null;
  /** Why it gets no work until its next offer; null if it may. */
  barred: string | null;
  movedAtMs: number;
}

/** A peer with a proven key and an open control socket. */
export interface Member {
  readonly id: PeerId;
  /** Of this key, the one that it has now. */
  readonly connection: number;
  readonly kind: PeerKind;
  readonly prefix: string;
  /** Whose share of places it counts for: its address, or itself where it is the server's own. */
  readonly client: string;
  readonly joinedAtMs: number;
  volunteer: RegisteredVolunteer | null;
}

/** The peers that are here and the work of each. Holds no socket and no timer; times are `clock.nowMs()`, joinedAtMs is wall time. */
export class Registry {
  readonly #clock: Clock;
  readonly #members = new Map<PeerId, Member>();
  #assignments = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  get(id: PeerId): Member | undefined {
    return this.#members.get(id);
  }

  join(id: PeerId, kind: PeerKind, prefix: string, connection: number, client: string = id): Member {
    const member = { id, connection, kind, prefix, client, joinedAtMs: this.#clock.wallMs(), volunteer: null };
    this.#members.set(id, member);
    return member;
  }

  leave(id: PeerId): void {
    this.#members.delete(id);
  }

  /** Begins or goes on volunteering; what it failed to load before may be tried again. */
  offer(member: Member, offer: Offer): RegisteredVolunteer {
    const before = member.volunteer;
    const volunteer: RegisteredVolunteer = {
      offer,
      state: 'idle',
      assignment: null,
      overdue: null,
      layerMs: offer.layerMs ?? before?.layerMs ?? null,
      tried: null,
      measuredClass: false,
      tokens: before?.tokens ?? 0,
      isHidden: before?.isHidden ?? false,
      failed: [],
      resting: null,
      barred: null,
      movedAtMs: -Infinity,
    };
    member.volunteer = volunteer;
    return volunteer;
  }

  assign(volunteer: RegisteredVolunteer, { model, span }: Placed): Assignment {
    if (volunteer.assignment !== null) volunteer.movedAtMs = this.#clock.nowMs();
    this.#assignments += 1;
    volunteer.assignment = {
      model,
      span,
      ...{ number: this.#assignments, sinceMs: this.#clock.nowMs() },
      heardMs: this.#clock.nowMs(),
      loadSteps: 0,
    };
    volunteer.overdue = null;
    volunteer.state = 'loading';
    return volunteer.assignment;
  }

  /** True if the message is about the assignment it has now, or about an overdue one; older ones are stale and change nothing. */
  ready(
    volunteer: RegisteredVolunteer,
    { assignment, layerMs, numericClass = volunteer.offer.numericClass }: Ready,
  ): boolean {
    const { overdue } = volunteer;
    if (overdue?.number === assignment) {
      volunteer.failed = volunteer.failed.filter((place) => place !== overdue);
      volunteer.assignment = overdue;
      volunteer.overdue = null;
    } else if (volunteer.state !== 'loading' || volunteer.assignment?.number !== assignment) return false;
    volunteer.state = 'ready';
    volunteer.resting = null;
    volunteer.offer = { ...volunteer.offer, numericClass };
    volunteer.layerMs = layerMs;
    volunteer.tried = null;
    volunteer.measuredClass = false;
    return true;
  }

  /** It passed a hidden session. One of a limit that nobody measured takes no measured class away. */
  passed(volunteer: RegisteredVolunteer, layerMs: number, isMeasured: boolean): void {
    volunteer.tried = { atMs: this.#clock.nowMs(), layerMs };
    volunteer.measuredClass ||= isMeasured;
  }

  /** It has to pass a hidden session again before it is given work. */
  untry(volunteer: RegisteredVolunteer): void {
    volunteer.tried = null;
    volunteer.measuredClass = false;
  }

  /** Takes the assignment back; `barred` says why there will be no other until the next offer, if so. */
  failed(volunteer: RegisteredVolunteer, assignment: number, barred: string | null): boolean {
    const place = volunteer.assignment ?? volunteer.overdue;
    if (volunteer.state === 'paused' || place?.number !== assignment) return false;
    volunteer.failed.push(place);
    volunteer.barred = barred;
    this.release(volunteer);
    return true;
  }

  /** Takes the assignment back, for others to fill: a slow link may still get it ready, or smaller work sooner. */
  timedOut(volunteer: RegisteredVolunteer): void {
    const { assignment } = volunteer;
    if (assignment === null || !this.failed(volunteer, assignment.number, null)) return;
    volunteer.overdue = assignment;
  }

  /** Takes the assignment back for a while: what failed was not the device. */
  rest(volunteer: RegisteredVolunteer, assignment: number): boolean {
    const place = volunteer.assignment ?? volunteer.overdue;
    if (volunteer.state === 'paused' || place?.number !== assignment) return false;
    const failures = (volunteer.resting?.model === place.model ? volunteer.resting.failures : 0) + 1;
    const untilMs = this.#clock.nowMs() + backoffMs(failures, REST);
    volunteer.resting = { model: place.model, untilMs, failures };
    this.release(volunteer);
    return true;
  }

  /** Takes the work away; it may be given other work. */
  release(volunteer: RegisteredVolunteer): void {
    volunteer.assignment = null;
    volunteer.overdue = null;
    volunteer.state = 'idle';
  }

  heartbeat(volunteer: RegisteredVolunteer, heartbeat: Heartbeat): void {
    volunteer.tokens = heartbeat.tokens;
    volunteer.isHidden = heartbeat.hidden;
    if (heartbeat.layerMs !== null) volunteer.layerMs = heartbeat.layerMs;
    const { assignment } = volunteer;
    if (volunteer.state !== 'loading' || assignment === null || heartbeat.loadSteps === undefined) return;
    if (heartbeat.loadSteps > assignment.loadSteps) assignment.heardMs = this.#clock.nowMs();
    assignment.loadSteps = heartbeat.loadSteps;
  }

  /** No new sessions until the next offer. */
  pause(volunteer: RegisteredVolunteer): void {
    volunteer.state = 'paused';
    volunteer.assignment = null;
    volunteer.overdue = null;
  }

  withdraw(member: Member): void {
    member.volunteer = null;
  }
}

/** Stages on a volunteer's disk, on the grid's units. */
export function heldPlaces(offer: Offer): Placed[] {
  return offer.held.map(({ model, range }) => ({ model, span: spanOf(range) }));
}
