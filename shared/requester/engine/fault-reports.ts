import type { AnswerEvent } from '../answer-event.ts';
import type { FoundFault } from '../found-fault.ts';
import type { RequesterEffects } from '../requester-event.ts';

type FaultEvent = Extract<AnswerEvent, { type: 'fault' }>;

/** How long an answer waits to hear what the server makes of a report. */
const REPORT_TIMEOUT_MS = 5_000;

export interface ReportsHost {
  nextTicket(): number;
  push(effect: RequesterEffects[number]): void;
  emit(event: FaultEvent): void;
}

/** Faults that the server has been told of, until it says whether they are proven. */
export class FaultReports {
  readonly #waiting = new Map<number, { readonly fault: FoundFault; readonly byMs: number }>();
  readonly #host: ReportsHost;

  constructor(host: ReportsHost) {
    this.#host = host;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  get deadlineMs(): number {
    return Math.min(Infinity, ...[...this.#waiting.values()].map(({ byMs }) => byMs));
  }

  /** Reports a provable fault to the server; people hear of it once the server has answered, where an answer waits for that. */
  report(fault: FoundFault, isOfAnswer: boolean, nowMs: number): void {
    const { emit, nextTicket, push } = this.#host;
    if (fault.proof === null) return emit(faultEvent(fault, false));
    const ticket = nextTicket();
    push({ type: 'report', ticket, proof: fault.proof });
    if (isOfAnswer) this.#waiting.set(ticket, { fault, byMs: nowMs + REPORT_TIMEOUT_MS });
  }

  /** The server has answered. */
  reported(ticket: number, isAccepted: boolean): void {
    const found = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if (found !== undefined) this.#host.emit(faultEvent(found.fault, isAccepted));
  }

  /** Tells of faults whose report the server has not answered in time; of all of them at Infinity. */
  expire(nowMs: number): void {
    const late = [...this.#waiting].filter(([, { byMs }]) => nowMs >= byMs);
    for (const [ticket] of late) this.#waiting.delete(ticket);
    for (const [, { fault }] of late) this.#host.emit(faultEvent(fault, false));
  }
}

/** A fault for people to hear of. */
function faultEvent({ proof: _proof, ...fault }: FoundFault, isProven: boolean): FaultEvent {
  return { type: 'fault', ...fault, isProven };
}
