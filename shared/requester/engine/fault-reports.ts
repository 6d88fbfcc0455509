import type { AnswerEvent } from '../answer-event.ts';
import type { FoundFault } from '../found-fault.ts';

type FaultEvent = Extract<AnswerEvent, { type: 'fault' }>;

/** How long an answer waits to hear what the server makes of a report. */
const REPORT_TIMEOUT_MS = 5_000;

/** Faults that the server has been told of, until it says whether they are proven. */
export class FaultReports {
  readonly #waiting = new Map<number, { readonly fault: FoundFault; readonly byMs: number }>();

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  get deadlineMs(): number {
    return Math.min(Infinity, ...[...this.#waiting.values()].map(({ byMs }) => byMs));
  }

  add(ticket: number, fault: FoundFault, nowMs: number): void {
    this.#waiting.set(ticket, { fault, byMs: nowMs + REPORT_TIMEOUT_MS });
  }

  /** The server has answered; null if nobody waits for it. */
  reported(ticket: number, isAccepted: boolean): FaultEvent | null {
    const found = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    return found === undefined ? null : faultEvent(found.fault, isAccepted);
  }

  /** Faults whose report the server has not answered in time; all of them at Infinity. */
  expire(nowMs: number): FaultEvent[] {
    const late = [...this.#waiting].filter(([, { byMs }]) => nowMs >= byMs);
    for (const [ticket] of late) this.#waiting.delete(ticket);
    return late.map(([, { fault }]) => faultEvent(fault, false));
  }
}

/** A fault for people to hear of. */
export function faultEvent({ proof: _proof, ...fault }: FoundFault, isProven: boolean): FaultEvent {
  return { type: 'fault', ...fault, isProven };
}
