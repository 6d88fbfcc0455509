import type { Dispute } from '../audit/span-audit.ts';
import type { SessionPort } from '../feed/session-port.ts';
import type { RequesterEvent } from '../requester-event.ts';
import { Settlement, type SettlementNews } from './settlement.ts';

/** Settles the differences in one session, one after the other. */
export class Settlements {
  readonly #host: SessionPort;
  readonly #news: SettlementNews;
  readonly #disputes: Dispute[] = [];
  #current: Settlement | null = null;
  /** The span, stage and role that were announced last. */
  #announced: string | null = null;

  /** `news` hears of each third replica once, and of each difference that is settled; `next` takes up another one. */
  constructor(host: SessionPort, news: SettlementNews) {
    this.#host = host;
    this.#news = news;
  }

  get isSettling(): boolean {
    return this.#current !== null;
  }

  /** True while one about rows is being settled, or waits for it. */
  get isSettlingRows(): boolean {
    return [this.#current?.dispute, ...this.#disputes].some((dispute) => dispute?.about === 'rows');
  }

  get deadlineMs(): number {
    return this.#current?.deadlineMs ?? Infinity;
  }

  add(dispute: Dispute): void {
    this.#disputes.push(dispute);
    this.next();
  }

  /** Takes up the next difference, if nothing is being settled. */
  next(): void {
    const dispute = this.#current === null ? this.#disputes.shift() : undefined;
    if (dispute === undefined) return;
    this.#current = new Settlement(this.#host, dispute, {
      asked: (of, role) => {
        const label = `${of.span.index} ${of.stage} ${role}`;
        if (this.#announced !== label) this.#news.asked(of, role);
        this.#announced = label;
      },
      concluded: (of, verdict) => {
        this.#current = null;
        this.#news.concluded(of, verdict);
      },
    });
    this.#current.start();
  }

  /** Takes something that may be for the settlement under way. */
  handle(event: RequesterEvent): void {
    this.#current?.handle(event);
  }

  /** Gives back what is under way: the session has ended. */
  stop(): void {
    this.#current?.stop();
  }
}
