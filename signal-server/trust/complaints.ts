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

  constructor(deps: ComplaintsDeps) {
    this.#deps = deps;
  }

  hear(requester: PeerId, session: SessionId, volunteer: PeerId): void {
    const { isProven, onComplaint } = this.#deps;
    if (requester === volunteer || isProven(session, volunteer)) return;
    if (this.#sourceOf(requester).bucket.take(1)) onComplaint(volunteer);
  }

  /** Forgets sources of which nothing has been heard for an hour. To be called now and then. */
  prune(): void {
    const limitMs = this.#deps.clock.nowMs() - HOUR_MS;
    for (const [name, { usedAtMs }] of this.#sources) if (usedAtMs < limitMs) this.#sources.delete(name);
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
