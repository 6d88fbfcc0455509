import type { Now } from '../../clock.ts';
import type { Dispute } from '../audit/audit-event.ts';
import type { CheckNews } from '../check-news.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import type { RequesterConfig, SessionEffect } from '../requester-event.ts';
import { Settlement, type SettlementEvent, type Verdict } from './settlement.ts';

export type SettlementsEffect =
  | SessionEffect
  | Extract<CheckNews, { type: 'settling' }>
  /** A difference is settled; `next` takes up another one. */
  | { readonly type: 'concluded'; readonly dispute: Dispute; readonly verdict: Verdict };

/** Settles the differences in one session, one after the other. */
export class Settlements {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #nextTicket: () => number;
  readonly #disputes: Dispute[] = [];
  #current: Settlement | null = null;
  /** What was told last of what is being settled. */
  #announced: string | null = null;

  /** `nextTicket` numbers what is asked of the server. */
  constructor(config: RequesterConfig, session: RequesterSession, nextTicket: () => number) {
    this.#config = config;
    this.#session = session;
    this.#nextTicket = nextTicket;
  }

  get isSettling(): boolean {
    return this.#current !== null;
  }

  get deadlineMs(): number {
    return this.#current?.deadlineMs ?? Infinity;
  }

  add(dispute: Dispute): void {
    this.#disputes.push(dispute);
  }

  /** Takes up the next difference, if nothing is being settled. */
  next(now: Now): SettlementsEffect[] {
    const dispute = this.#current === null ? this.#disputes.shift() : undefined;
    if (dispute === undefined) return [];
    this.#current = new Settlement(this.#config, this.#session, dispute, this.#nextTicket);
    return this.#follow(this.#current, this.#current.start(now));
  }

  /** Takes something that may be for the settlement under way. */
  handle(event: SettlementEvent, now: Now): SettlementsEffect[] {
    return this.#current === null ? [] : this.#follow(this.#current, this.#current.handle(event, now));
  }

  /** Gives back what is under way: the session has ended. */
  stop(): SessionEffect[] {
    return this.#current?.stop() ?? [];
  }

  #follow(settlement: Settlement, effects: readonly SessionEffect[]): SettlementsEffect[] {
    const { dispute, verdict, role } = settlement;
    const { stage, span } = dispute;
    if (verdict !== null) {
      this.#current = null;
      return [...effects, { type: 'concluded', dispute, verdict }];
    }
    const label = `${span.index} ${stage} ${role}`;
    if (this.#announced === label) return [...effects];
    this.#announced = label;
    return [...effects, { type: 'settling', stage, start: span.start, end: span.end, role }];
  }
}
