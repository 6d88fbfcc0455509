import type { Clock } from '#shared/clock.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';

const HOUR_MS = 60 * 60_000;

export interface ComplaintsDeps {
  readonly clock: Clock;
  /** True for a fault that a proof has shown: it needs no complaint. */
  readonly isProven: (session: SessionId, volunteer: PeerId) => boolean;
  /** Of the address of a requester; null for one that is not here any more. */
  readonly prefixOf: (requester: PeerId) => string | null;
  /** Somebody says without a proof that this volunteer failed. */
  readonly onComplaint: (volunteer: PeerId) => void;
  readonly limits: Pick<Config['limits'], 'complaints'>;
}

/** Sessions that could not reach a volunteer before this is a complaint: one lost link says as little of either end. */
const SEVERAL = 2;
/** How long they count. */
const UNREACHED_MS = 10 * 60_000;
/** Volunteers of whom this is remembered. */
const MAX_UNREACHED = 10_000;

interface Source {
  readonly bucket: TokenBucket;
  usedAtMs: number;
}

/**
 * What requesters say of volunteers without a proof. It changes nobody's standing; it is passed on, so that the server can look
 * for itself, as often from one address prefix as the limit says, whatever number of keys it has.
 */
export class Complaints {
  readonly #deps: ComplaintsDeps;
  readonly #sources = new Map<string, Source>();
  /** When which sessions could not reach a volunteer. */
  readonly #unreached = new Map<PeerId, Map<SessionId, number>>();

  constructor(deps: ComplaintsDeps) {
    this.#deps = deps;
  }

  hear(requester: PeerId, session: SessionId, volunteer: PeerId): void {
    const { isProven, onComplaint } = this.#deps;
    if (requester === volunteer || isProven(session, volunteer)) return;
    if (this.#sourceOf(requester).bucket.take(1)) onComplaint(volunteer);
  }

  /** A requester lost its link to this volunteer, or never got one: a complaint where several sessions say so. */
  unreached(requester: PeerId, session: SessionId, volunteer: PeerId): void {
    const nowMs = this.#deps.clock.nowMs();
    const before = [...(this.#unreached.get(volunteer) ?? [])].filter(([, atMs]) => atMs > nowMs - UNREACHED_MS);
    const sessions = new Map([...before, [session, nowMs] as const]);
    this.#unreached.delete(volunteer);
    if (sessions.size >= SEVERAL) return this.hear(requester, session, volunteer);
    this.#unreached.set(volunteer, sessions);
    for (const [oldest] of this.#unreached) {
      if (this.#unreached.size <= MAX_UNREACHED) break;
      this.#unreached.delete(oldest);
    }
  }

  /** Forgets sources and volunteers of which nothing has been heard for an hour. To be called now and then. */
  prune(): void {
    const limitMs = this.#deps.clock.nowMs() - HOUR_MS;
    for (const [name, { usedAtMs }] of this.#sources) if (usedAtMs < limitMs) this.#sources.delete(name);
    for (const [id, sessions] of this.#unreached) {
      if ([...sessions.values()].every((atMs) => atMs < limitMs)) this.#unreached.delete(id);
    }
  }

  #sourceOf(requester: PeerId): Source {
    const { clock, limits, prefixOf } = this.#deps;
    const name = prefixOf(requester) ?? requester;
    const source = this.#sources.get(name) ?? {
      bucket: new TokenBucket(limits.complaints, () => clock.nowMs()),
      usedAtMs: 0,
    };
    source.usedAtMs = clock.nowMs();
    this.#sources.set(name, source);
    return source;
  }
}
