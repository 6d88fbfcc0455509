import { ChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { MAX_OPEN_CHECKS, OPEN_TIMEOUT_MS } from '../limits.ts';
import type { PeerMessage } from '../wire/peer-message.ts';

export type EarlyMessage = Extract<PeerMessage, { type: 'audit' | 'check' }>;

interface Early {
  readonly session: SessionId;
  readonly from: PeerId;
  readonly messages: EarlyMessage[];
  readonly untilMs: number;
}

/** Sessions that one peer, and all of them, may announce a check of before they are open. */
const MAX_PER_PEER = 16;
const MAX_IN_ALL = 256;

/**
 * Audits and checks of sessions that are not open here: a requester has a link of its own and may well be ahead of the
 * `open`, which passes every stage before.
 */
export class EarlyAudits {
  readonly #early = new Map<string, Early>();

  /** When the first of them has waited long enough. */
  get deadlineMs(): number {
    return Math.min(...[...this.#early.values()].map(({ untilMs }) => untilMs));
  }

  /** Throws `rate-limited` for more than may wait. */
  hold(from: PeerId, message: EarlyMessage, nowMs: number): void {
    const key = `${message.session} ${from}`;
    const waiting = this.#early.get(key);
    const refuse = () => new ChorusError('rate-limited', 'too many checks of sessions that are not open');
    if (waiting !== undefined) {
      // The anchor and all the spans that may be open at once.
      if (waiting.messages.length > 2 * MAX_OPEN_CHECKS) throw refuse();
      waiting.messages.push(message);
      return;
    }
    const own = [...this.#early.values()].filter((early) => early.from === from).length;
    if (own >= MAX_PER_PEER || this.#early.size >= MAX_IN_ALL) throw refuse();
    const { session } = message;
    this.#early.set(key, { session, from, messages: [message], untilMs: nowMs + OPEN_TIMEOUT_MS });
  }

  /** The messages of `requester` about a session that opens now. Others have no say in it. */
  take(session: SessionId, requester: PeerId): readonly EarlyMessage[] {
    const found = this.#early.get(`${session} ${requester}`);
    for (const [key, early] of this.#early) if (early.session === session) this.#early.delete(key);
    return found?.messages ?? [];
  }

  /** Sessions that did not open in time, with the peers that wait for them. */
  expire(nowMs: number): readonly Pick<Early, 'session' | 'from'>[] {
    const late = [...this.#early].filter(([, early]) => nowMs >= early.untilMs);
    for (const [key] of late) this.#early.delete(key);
    return late.map(([, early]) => early);
  }

  /** `peer` is gone. */
  forget(peer: PeerId): void {
    for (const [key, early] of this.#early) if (early.from === peer) this.#early.delete(key);
  }
}
