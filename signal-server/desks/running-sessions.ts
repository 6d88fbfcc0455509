import type { Clock } from '#shared/clock.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { Config } from '../machine/config.ts';
import type { Lease, Leases } from '../placement/leases.ts';

type Release = Extract<PeerControlMessage, { type: 'release' }>;
type Rest = Extract<PeerControlMessage, { type: 'rest' }>;

/** How a session ended, for the history. */
export interface FinishedSession {
  readonly lease: Lease;
  readonly outcome: Release['outcome'];
  readonly tokens: number;
  /** Positions that each of its replicas computed, by the requester's word. */
  readonly positions: number;
  readonly tokensPerSecond: number | null;
  /** The requester's word, one for each volunteer of the lease that it blames. */
  readonly faults: readonly Release['faults'][number][];
  /** The requester's word: volunteers of the lease that it went on without, because they were slow or silent. */
  readonly stalled: readonly PeerId[];
  /** The requester's word; null where it has said nothing. */
  readonly checks: Release['checks'] | null;
}

type Figures = Omit<FinishedSession, 'lease'>;

/** A session may be cut back and go on; more often than this it is not believed to have been. */
const MOST_ROUNDS = 64;

/** The figures of sessions whose requester never told any. */
const UNHEARD_OF: Figures = {
  ...{ outcome: 'failed', tokens: 0, positions: 0, tokensPerSecond: null, faults: [], stalled: [], checks: null },
};
const FORSAKEN: Figures = { ...UNHEARD_OF, outcome: 'cancelled' };

export interface RunningSessionsDeps {
  readonly clock: Clock;
  readonly leases: Leases;
  readonly onFinished: (session: FinishedSession) => void;
  /** Called as the requester says that an answer has ended, with the tokens that it adds to those of its session. */
  readonly onTokens: (lease: Lease, tokens: number, tokensPerSecond: number | null) => void;
  /** The requester of a session blames a volunteer of its route for the session's end. */
  readonly onFault: (requester: PeerId, volunteer: PeerId) => void;
  /** It went on without a volunteer of its route that was slow or silent. */
  readonly onStall: (requester: PeerId, volunteer: PeerId) => void;
  readonly times: Pick<Config['times'], 'resumeMs'>;
}

/** The sessions that hold slots: their figures so far, and their ends. */
export class RunningSessions {
  readonly #deps: RunningSessionsDeps;
  /** Sessions whose requester is not connected, and when they end if it does not resume them. */
  readonly #forsaken = new Map<SessionId, number>();
  /** The figures of sessions at the end of their last answer. A page that is closed says no more than that. */
  readonly #rested = new Map<SessionId, Figures>();
  /** Of these, those that may rest still and were not asked for since: the one that rests longest first. */
  readonly #reclaimable = new Set<SessionId>();

  constructor(deps: RunningSessionsDeps) {
    this.#deps = deps;
  }

  /** Positions that a volunteer computed in sessions that still run, as far as their answers have ended. */
  positionsOf(volunteer: PeerId): number {
    const own = this.rested.filter(({ lease }) => lease.role === 'answer' && lease.volunteers.includes(volunteer));
    return own.reduce((sum, { positions }) => sum + positions, 0);
  }

  /** Sessions whose figures so far are known. */
  get rested(): FinishedSession[] {
    return [...this.#rested].map(([session, figures]) => ({ lease: this.#deps.leases.get(session)!, ...figures }));
  }

  /** False if the session is not this requester's to give back: that is late or made up. */
  release(requester: PeerId, release: Release): boolean {
    const { session, outcome } = release;
    const lease = this.#deps.leases.get(session);
    if (lease?.requester !== requester) return false;
    const figures = figuresOf(lease, release, outcome);
    for (const { volunteer } of figures.faults) this.#deps.onFault(requester, volunteer);
    for (const volunteer of figures.stalled) this.#deps.onStall(requester, volunteer);
    this.#tellTokens(lease, figures);
    this.#rested.delete(session);
    this.#end(session, figures);
    return true;
  }

  rest(requester: PeerId, rest: Rest): void {
    const lease = this.#deps.leases.get(rest.session);
    if (lease?.requester !== requester || lease.role !== 'answer') return;
    const figures = figuresOf(lease, rest, 'done');
    this.#tellTokens(lease, figures);
    this.#rested.set(rest.session, figures);
    this.#reclaimable.delete(rest.session);
    this.#reclaimable.add(rest.session);
  }

  /**
   * Sessions with this model that have rested longest, `most` of them, to be asked back from their requesters. One that is
   * in use again is not given back, and not asked for again before it has rested anew.
   */
  takeReclaimable(model: Digest, most: number): Lease[] {
    const { leases } = this.#deps;
    const found = [...this.#reclaimable]
      .filter((session) => !this.#forsaken.has(session) && leases.get(session)?.route.model === model)
      .slice(0, most);
    for (const session of found) this.#reclaimable.delete(session);
    return found.map((session) => leases.get(session)!);
  }

  /** The requester is not connected; its sessions do not need us to go on, so it may come back to them. */
  forsake(requester: PeerId): void {
    const { clock, leases, times } = this.#deps;
    for (const { route } of leases.ofRequester(requester))
      this.#forsaken.set(route.session, clock.nowMs() + times.resumeMs);
  }

  /** The requester is back with these sessions; the others are over. */
  resume(requester: PeerId, running: ReadonlySet<SessionId>): void {
    for (const { route } of this.#deps.leases.ofRequester(requester)) {
      if (running.has(route.session)) this.#forsaken.delete(route.session);
      else this.#end(route.session, FORSAKEN);
    }
  }

  /** Ends a session that never began. */
  fail(session: SessionId): void {
    this.#end(session, UNHEARD_OF);
  }

  /** Ends those that have run out, or were forsaken for too long. */
  expire(): void {
    const { clock, leases, times } = this.#deps;
    for (const lease of leases.expired()) this.#end(lease.route.session, UNHEARD_OF);
    for (const lease of leases.empty(times.resumeMs)) this.#end(lease.route.session, FORSAKEN);
    for (const [session, untilMs] of this.#forsaken) if (untilMs <= clock.nowMs()) this.#end(session, FORSAKEN);
  }

  /** Ends the sessions whose figures are known, with these: they will not be heard of again. */
  stop(): void {
    for (const session of [...this.#rested.keys()]) this.#end(session, UNHEARD_OF);
  }

  #tellTokens(lease: Lease, { tokens, tokensPerSecond }: Figures): void {
    const added = tokens - (this.#rested.get(lease.route.session)?.tokens ?? 0);
    if (lease.role === 'answer' && added > 0) this.#deps.onTokens(lease, added, tokensPerSecond);
  }

  /** Ends a session with these figures, or with those that it rested on. */
  #end(session: SessionId, figures: Figures): void {
    const lease = this.#deps.leases.end(session);
    const rested = this.#rested.get(session);
    this.#rested.delete(session);
    this.#reclaimable.delete(session);
    this.#forsaken.delete(session);
    if (lease) this.#deps.onFinished({ lease, ...(rested ?? figures) });
  }
}

/** The figures that a requester tells of its session, as far as its lease allows. */
function figuresOf(
  { route, volunteers }: Lease,
  { tokens, positions, tokensPerSecond, faults, stalled, checks }: Release | Rest,
  outcome: Figures['outcome'],
): Figures {
  const blamed = faults.filter(
    ({ volunteer }, i) =>
      volunteers.includes(volunteer) && faults.findIndex((other) => other.volunteer === volunteer) === i,
  );
  const { capacity } = route;
  return {
    outcome,
    tokens: Math.min(tokens, capacity),
    positions: Math.min(positions, MOST_ROUNDS * capacity),
    ...{ tokensPerSecond, faults: blamed, checks },
    stalled: [...new Set(stalled)].filter((volunteer) => volunteers.includes(volunteer)),
  };
}
