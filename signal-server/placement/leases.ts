import type { Clock } from '#shared/clock.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Route } from '#shared/route/route.ts';

/** The purpose of a session: an answer, or a replay of another session's stage that settles a difference there. */
export type LeaseRole = 'answer' | 'arbiter' | 'referee';

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
  readonly #bySession = new Map<SessionId, Lease>();
  readonly #running = new Map<PeerId, { sessions: number; positions: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#bySession.size;
  }

  take(route: Route, role: LeaseRole, prefixes: ReadonlyMap<PeerId, string> = new Map(), waitedMs = 0): void {
    const volunteers = route.stages.flatMap((stage) => [stage.primary.id, ...stage.shadows.map((shadow) => shadow.id)]);
    const endsAtMs = this.#clock.nowMs() + (route.expiresAtMs - route.issuedAtMs);
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
    this.#bySession.set(route.session, lease);
    this.#count(lease, 1);
  }

  get(session: SessionId): Lease | undefined {
    return this.#bySession.get(session);
  }

  /** Gives the slots back; the lease, or undefined if it had ended before. */
  end(session: SessionId): Lease | undefined {
    const lease = this.#bySession.get(session);
    if (lease && this.#bySession.delete(session)) this.#count(lease, -1);
    return lease;
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
    return [...this.#bySession.values()].filter((lease) => lease.requester === requester);
  }

  expired(): Lease[] {
    return [...this.#bySession.values()].filter((lease) => lease.endsAtMs <= this.#clock.nowMs());
  }

  #count({ volunteers, route }: Pick<Lease, 'volunteers' | 'route'>, change: 1 | -1): void {
    for (const id of volunteers) {
      const sessions = this.running(id) + change;
      if (sessions === 0) this.#running.delete(id);
      else this.#running.set(id, { sessions, positions: this.positions(id) + change * route.capacity });
    }
  }
}
