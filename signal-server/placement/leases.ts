import type { Clock } from '#shared/clock.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Route } from '#shared/route/route.ts';

/** The purpose of a session: an answer, or a replay of another session's stage that settles a difference there. */
export type LeaseRole = 'answer' | 'arbiter' | 'referee';

/** What else is known of a lease. */
interface Kept {
  readonly lease: Lease;
  /** Whose share of the places it takes. */
  readonly client: string;
  readonly takenAtMs: number;
  /** True once a replica has said that the session was opened: until then the lease is provisional. */
  isOpened: boolean;
  /** The replicas that work in it no more. */
  readonly left: Set<PeerId>;
  /** When the last of them left. */
  emptyAtMs: number | null;
}

/** What the answers of one client hold. */
export interface Held {
  readonly sessions: number;
  readonly slots: number;
  /** Of these, those in sessions that nobody has opened yet. */
  readonly unopenedSlots: number;
}

const NOTHING_HELD: Held = { sessions: 0, slots: 0, unopenedSlots: 0 };

/** One session that may be running: it takes a slot of every volunteer on its route. */
export interface Lease {
  readonly route: Route;
  readonly role: LeaseRole;
  readonly requester: PeerId;
  readonly volunteers: readonly PeerId[];
  /** The networks of these volunteers as the session was given out; who differs may leave before its network is asked for. */
  readonly prefixes: ReadonlyMap<PeerId, string>;
  /** The third replicas that were given to settle differences in it. */
  readonly thirds: Set<PeerId>;
  /** How long its requester waited for it. */
  readonly waitedMs: number;
  /** Monotonic milliseconds. */
  readonly endsAtMs: number;
}

export class Leases {
  readonly #clock: Clock;
  readonly #bySession = new Map<SessionId, Kept>();
  readonly #running = new Map<PeerId, { sessions: number; positions: number }>();
  readonly #held = new Map<string, Held>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#bySession.size;
  }

  /** `client`: as of a member; the requester itself where it is left out. */
  take(
    route: Route,
    role: LeaseRole,
    prefixes: ReadonlyMap<PeerId, string> = new Map(),
    waitedMs = 0,
    client: string = route.requester.id,
  ): void {
    const volunteers = route.stages.flatMap((stage) => [stage.primary.id, ...stage.shadows.map((shadow) => shadow.id)]);
    const takenAtMs = this.#clock.nowMs();
    const endsAtMs = takenAtMs + (route.expiresAtMs - route.issuedAtMs);
    const lease = {
      route,
      role,
      requester: route.requester.id,
      volunteers,
      prefixes,
      thirds: new Set<PeerId>(),
      waitedMs,
      endsAtMs,
    };
    const kept = { lease, client, takenAtMs, isOpened: false, left: new Set<PeerId>(), emptyAtMs: null };
    this.#bySession.set(route.session, kept);
    this.#count(lease, volunteers, 1);
    this.#hold(kept, { sessions: 1, slots: volunteers.length, unopenedSlots: volunteers.length });
  }

  get(session: SessionId): Lease | undefined {
    return this.#bySession.get(session)?.lease;
  }

  /** A volunteer says that a session was opened at it; of a lease without it, that says nothing. */
  opened(session: SessionId, volunteer: PeerId): void {
    const kept = this.#bySession.get(session);
    if (kept === undefined || kept.isOpened || !kept.lease.volunteers.includes(volunteer)) return;
    this.#hold(kept, { ...NOTHING_HELD, unopenedSlots: -slotsOf(kept) });
    kept.isOpened = true;
  }

  /** A volunteer says that a session is over at it, and has its slot back. True if it had one in it. */
  vacated(session: SessionId, volunteer: PeerId): boolean {
    const kept = this.#bySession.get(session);
    if (kept === undefined || !kept.lease.volunteers.includes(volunteer) || kept.left.has(volunteer)) return false;
    this.#hold(kept, { sessions: 0, slots: -1, unopenedSlots: kept.isOpened ? 0 : -1 });
    kept.left.add(volunteer);
    this.#count(kept.lease, [volunteer], -1);
    if (new Set(kept.lease.volunteers).size === kept.left.size) kept.emptyAtMs = this.#clock.nowMs();
    return true;
  }

  /** Gives the slots back; the lease, or undefined if it had ended before. */
  end(session: SessionId): Lease | undefined {
    const kept = this.#bySession.get(session);
    if (kept === undefined) return undefined;
    this.#bySession.delete(session);
    const slots = slotsOf(kept);
    this.#hold(kept, { sessions: -1, slots: -slots, unopenedSlots: kept.isOpened ? 0 : -slots });
    const { lease, left } = kept;
    const staying = lease.volunteers.filter((id) => !left.has(id));
    this.#count(lease, staying, -1);
    return lease;
  }

  /** What this client's answers hold now. */
  heldBy(client: string): Held {
    return this.#held.get(client) ?? NOTHING_HELD;
  }

  /** Answers that nobody has opened yet, with how long they were given out, and for whom. */
  unopened(): { lease: Lease; client: string; ageMs: number }[] {
    return [...this.#bySession.values()]
      .filter(({ isOpened, lease }) => !isOpened && lease.role === 'answer')
      .map(({ lease, client, takenAtMs }) => ({ lease, client, ageMs: this.#clock.nowMs() - takenAtMs }));
  }

  /** Leases that all replicas have left so long ago: their requesters will not release them any more. */
  empty(afterMs: number): Lease[] {
    const limitMs = this.#clock.nowMs() - afterMs;
    return [...this.#bySession.values()]
      .filter(({ emptyAtMs }) => emptyAtMs !== null && emptyAtMs <= limitMs)
      .map(({ lease }) => lease);
  }

  /** Sessions this volunteer takes part in. */
  running(volunteer: PeerId): number {
    return this.#running.get(volunteer)?.sessions ?? 0;
  }

  /** Positions that these sessions may come to. */
  positions(volunteer: PeerId): number {
    return this.#running.get(volunteer)?.positions ?? 0;
  }

  ofRequester(requester: PeerId): Lease[] {
    return this.#leases.filter((lease) => lease.requester === requester);
  }

  expired(): Lease[] {
    return this.#leases.filter((lease) => lease.endsAtMs <= this.#clock.nowMs());
  }

  get #leases(): Lease[] {
    return [...this.#bySession.values()].map(({ lease }) => lease);
  }

  #hold({ client, lease }: Kept, change: Held): void {
    if (lease.role !== 'answer') return;
    const { sessions, slots, unopenedSlots } = this.heldBy(client);
    const held = {
      sessions: sessions + change.sessions,
      slots: slots + change.slots,
      unopenedSlots: unopenedSlots + change.unopenedSlots,
    };
    if (held.sessions === 0) this.#held.delete(client);
    else this.#held.set(client, held);
  }

  #count({ route }: Pick<Lease, 'route'>, volunteers: readonly PeerId[], change: 1 | -1): void {
    for (const id of volunteers) {
      const sessions = this.running(id) + change;
      if (sessions === 0) this.#running.delete(id);
      else this.#running.set(id, { sessions, positions: this.positions(id) + change * route.capacity });
    }
  }
}

/** Slots that a session takes still. */
function slotsOf({ lease, left }: Kept): number {
  return lease.volunteers.length - left.size;
}
