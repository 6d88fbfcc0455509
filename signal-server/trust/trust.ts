import type { Clock } from '#shared/clock.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, MAX_CHECKS, PROBATION_CHUNKS } from '#shared/limits.ts';
import type { Replica, Route } from '#shared/route/route.ts';
import type { Lease } from '../placement/leases.ts';
import type { KeptFault, Suspension, TrustStore } from '../store/trust-store.ts';

const HOUR_MS = 60 * 60_000;
const FIRST_SUSPENSION_MS = HOUR_MS;
const MAX_SUSPENSION_MS = 30 * 24 * HOUR_MS;
/** The part of a key's probation that one requester can bring, since it may be the volunteer itself under another key. */
const MAX_FROM_ONE_REQUESTER = Math.floor(PROBATION_CHUNKS / 2);
/** Requesters that must complain of a key within a day to make it new again. */
const MAX_COMPLAINTS = 3;
const COMPLAINT_MS = 24 * HOUR_MS;

/** The standing of a key in one numeric class, earned by checked work. */
export interface Standing {
  readonly checkedSpans: number;
  /** True below PROBATION_CHUNKS checked spans: it is watched by two shadows, and by one that is not new where there is one. */
  readonly isNew: boolean;
  /** Wall-clock milliseconds; null if it may work. */
  readonly suspendedUntilMs: number | null;
}

export interface TrustDeps {
  readonly clock: Clock;
  readonly store: TrustStore;
  /** Keys of the server's own anchors and gateway: they need not earn trust. */
  readonly isOwn: (id: PeerId) => boolean;
}

/**
 * The trust that keys have earned by checked work, and lost. It is per key and numeric class; suspensions are per key. A change
 * counts as soon as its call returns, and is on the disk once its promise resolves.
 */
export class Trust {
  readonly #deps: TrustDeps;

  constructor(deps: TrustDeps) {
    this.#deps = deps;
  }

  standing(id: PeerId, numericClass: string): Standing {
    const checkedSpans = this.#deps.store.spans(id, numericClass);
    return {
      checkedSpans,
      isNew: checkedSpans < PROBATION_CHUNKS && !this.#deps.isOwn(id),
      suspendedUntilMs: this.suspension(id)?.untilMs ?? null,
    };
  }

  /** Null if the key may work. */
  suspension(id: PeerId): Suspension | null {
    const { store, clock } = this.#deps;
    const suspension = store.suspension(id);
    return suspension !== null && suspension.untilMs > clock.wallMs() ? suspension : null;
  }

  /** Keys that may not work now, connected or not. */
  get suspended(): number {
    return this.#deps.store.suspendedAt(this.#deps.clock.wallMs());
  }

  /** Credits the replicas of an ended session with the spans in which its requester says they agreed. */
  async credit(lease: Lease, tokens: number, agreed: readonly { volunteer: PeerId; spans: number }[]): Promise<void> {
    const { stages } = lease.route;
    const replicas = new Map<PeerId, Replica>(
      stages.flatMap(({ primary, shadows }) => [primary, ...shadows].map((replica) => [replica.id, replica])),
    );
    const most = mostSpans(lease.route, tokens);
    const credits: Promise<void>[] = [];
    for (const { volunteer, spans } of agreed) {
      const replica = replicas.get(volunteer);
      // A volunteer named twice is credited once.
      replicas.delete(volunteer);
      if (replica === undefined || volunteer === lease.requester) continue;
      credits.push(this.#credit(volunteer, replica.numericClass, lease.requester, Math.min(spans, most)));
    }
    await Promise.all(credits);
  }

  /** Unproven faults: one requester's word resets nobody, that of several does. */
  async complain(requester: PeerId, volunteer: PeerId): Promise<void> {
    const { clock, store, isOwn } = this.#deps;
    if (isOwn(volunteer) || requester === volunteer) return;
    const nowMs = Math.floor(clock.wallMs());
    const isLast = async (): Promise<void> => {
      if (store.complaints(volunteer, nowMs - COMPLAINT_MS) >= MAX_COMPLAINTS) await store.reset(volunteer);
    };
    await Promise.all([store.complain(volunteer, requester, nowMs), isLast()]);
  }

  /** True if this fault is on record already. */
  isProven(session: SessionId, volunteer: PeerId): boolean {
    return this.#deps.store.isProven(session, volunteer);
  }

  /**
   * A fault that the server has found proven: the key is new again and suspended, each time for twice as long. Faults of
   * sessions that began before a suspension come to light during it; they are put on record and do not make it longer.
   */
  async convict(fault: Omit<KeptFault, 'atMs'>, proof: string): Promise<Suspension> {
    const { clock, store } = this.#deps;
    const nowMs = Math.floor(clock.wallMs());
    const before = store.suspension(fault.volunteer);
    const isSuspended = before !== null && before.untilMs > nowMs;
    const times = (before?.times ?? 0) + 1;
    const termMs = Math.min(MAX_SUSPENSION_MS, FIRST_SUSPENSION_MS * 2 ** (times - 1));
    const suspension = isSuspended ? before : { times, untilMs: nowMs + termMs, reason: fault.reason };
    await store.convict({ ...fault, atMs: nowMs }, proof, suspension);
    return suspension;
  }

  async #credit(volunteer: PeerId, numericClass: string, requester: PeerId, spans: number): Promise<void> {
    const { store, isOwn } = this.#deps;
    const before = store.spans(volunteer, numericClass);
    const isNew = before < PROBATION_CHUNKS;
    const left = MAX_FROM_ONE_REQUESTER - (isNew ? store.spansFrom(volunteer, numericClass, requester) : 0);
    const credited = isNew && !isOwn(requester) ? Math.min(spans, left) : spans;
    if (credited <= 0) return;
    const isEarned = before + credited >= PROBATION_CHUNKS;
    await Promise.all([
      store.credit(volunteer, numericClass, requester, credited),
      isEarned ? store.forgetSources(volunteer, numericClass) : null,
    ]);
  }
}

/**
 * Spans that a session of this capacity and so many tokens may have had: its whole chunks, and those that were closed
 * early, each after a token at least.
 */
export function mostSpans({ capacity }: Route, tokens: number): number {
  return Math.min(MAX_CHECKS, Math.ceil(capacity / CHUNK_POSITIONS) + tokens + 1);
}
