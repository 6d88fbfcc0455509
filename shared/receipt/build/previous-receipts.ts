import type { Digest, SessionId } from '../../ids.ts';

/** Sessions that are remembered; a session ends within its lease. */
const MAX_SESSIONS = 1_000;

/** The newest receipt of each session of one requester, for the next one to name: without it two could contradict each other. */
export class PreviousReceipts {
  readonly #newest = new Map<SessionId, Digest>();
  readonly #making = new Map<SessionId, Promise<unknown>>();

  /** Has `make` make the next receipt of a session, with the one before it, once that is made. Rejects as it does. */
  async next<Made extends { readonly id: Digest }>(
    session: SessionId,
    make: (previous: Digest | null) => Promise<Made>,
  ): Promise<Made> {
    const before = this.#making.get(session) ?? Promise.resolve();
    const making = before
      .catch(() => undefined)
      .then(() => make(this.#newest.get(session) ?? null))
      .then((made) => {
        this.#remember(session, made.id);
        return made;
      });
    this.#making.set(session, making);
    try {
      return await making;
    } finally {
      if (this.#making.get(session) === making) this.#making.delete(session);
    }
  }

  #remember(session: SessionId, id: Digest): void {
    this.#newest.delete(session);
    this.#newest.set(session, id);
    const [oldest] = this.#newest.keys();
    if (this.#newest.size > MAX_SESSIONS && oldest !== undefined) this.#newest.delete(oldest);
  }
}
