import type { Clock } from '#shared/clock.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, MAX_CHECKS, MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import type { Route } from '#shared/route/route.ts';
import type { HiddenFault, KeptFault, SpanSource, Suspension, TrustStore } from '../store/trust-store.ts';
import { isLongTrustedKey, isNewKey, witnessedSpans } from './standing-rule.ts';

const HOUR_MS = 60 * 60_000;
const FIRST_SUSPENSION_MS = HOUR_MS;
const MAX_SUSPENSION_MS = 30 * 24 * HOUR_MS;

/** The standing of a key in one numeric class. */
export interface Standing {
  /** Spans that count toward what the key has before it (standing-rule.ts). */
  readonly witnessedSpans: number;
  /** Spans in which it agreed with keys that are not the server's. */
  readonly agreedSpans: number;
  /** True below PROBATION_CHUNKS witnessed spans: it is watched by two shadows, and by one that is not new where there is one. */
  readonly isNew: boolean;
  readonly isLongTrusted: boolean;
  /** Wall-clock milliseconds; null if it may work. */
  readonly suspendedUntilMs: number | null;
}

export interface TrustDeps {
  readonly clock: Clock;
  readonly store: TrustStore;
  /** Keys of the server's own anchors and gateway: they need not earn trust, and lose none but by a proof. */
  readonly isOwn: (id: PeerId) => boolean;
}

/**
 * The trust that keys have earned by work that the server saw to be right, and lost. It is per key and numeric class; suspensions are per key. A change
 * counts as soon as its call returns, and is on the disk once its promise resolves.
 */
export class Trust {
  readonly #deps: TrustDeps;

  constructor(deps: TrustDeps) {
    this.#deps = deps;
  }

  standing(id: PeerId, numericClass: string): Standing {
    const { clock, isOwn, store } = this.#deps;
    const earned = store.earned(id, numericClass);
    return {
      witnessedSpans: witnessedSpans(earned),
      agreedSpans: earned.agreed,
      isNew: isNewKey(earned) && !isOwn(id),
      isLongTrusted: isLongTrustedKey(earned, clock.wallMs()) || isOwn(id),
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

  /**
   * Spans in which an anchor of this server computed what the key computed: in a session that the server held itself, or of
   * another requester. A session of the server's own may say so without an anchor, for it knows what is right.
   */
  async witness(
    id: PeerId,
    numericClass: string,
    spans: number,
    heldBy: Exclude<SpanSource, 'agreed'> = 'own',
  ): Promise<void> {
    await this.#credit(id, numericClass, heldBy, spans);
  }

  /** Spans in which the key agreed with another that is none of the server's: they decide nothing. */
  async agree(id: PeerId, numericClass: string, spans: number): Promise<void> {
    await this.#credit(id, numericClass, 'agreed', spans);
  }

  /** The key failed in a session that the server held itself: what was witnessed of it is gone, and it is new again. */
  async failHidden(id: PeerId, numericClass: string, reason: string): Promise<void> {
    const { clock, isOwn, store } = this.#deps;
    if (isOwn(id)) return;
    const kept = reason.slice(0, MAX_REASON_CHARACTERS);
    await store.failHidden(id, { numericClass, reason: kept, atMs: Math.floor(clock.wallMs()) });
  }

  /** The last reason of `failHidden`, for the owner of the key; null where there is none, or it is long ago. */
  lastFault(id: PeerId): HiddenFault | null {
    return this.#deps.store.hiddenFault(id);
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

  async #credit(id: PeerId, numericClass: string, source: SpanSource, spans: number): Promise<void> {
    const { clock, store } = this.#deps;
    if (spans > 0) await store.credit(id, numericClass, source, spans, Math.floor(clock.wallMs()));
  }
}

/**
 * Spans that a session of this capacity and so many tokens may have had: its whole chunks, and those that were closed
 * early, each after a token at least.
 */
export function mostSpans({ capacity }: Route, tokens: number): number {
  return Math.min(MAX_CHECKS, Math.ceil(capacity / CHUNK_POSITIONS) + tokens + 1);
}
