import { ChorusError } from '../errors.ts';
import { GAP_TIMEOUT_MS, OPEN_TIMEOUT_MS, ROWS_TIMEOUT_MS, SESSION_IDLE_MS } from '../limits.ts';

/** The thing that never came, and the error that the session ends with. */
export interface Overdue {
  readonly what: 'open' | 'gap' | 'rows' | 'lease' | 'idle';
  readonly error: ChorusError;
}

/** The waits of one session of a replica, and when each is taken as lost. */
export class SessionWaits {
  readonly leaseEndMs: number;
  #openByMs: number;
  #gapByMs = Infinity;
  #rowsByMs = Infinity;
  #idleAtMs: number;

  constructor(nowMs: number, leaseMs: number) {
    this.leaseEndMs = nowMs + leaseMs;
    this.#openByMs = nowMs + OPEN_TIMEOUT_MS;
    this.#idleAtMs = nowMs + SESSION_IDLE_MS;
  }

  get deadlineMs(): number {
    return Math.min(this.#openByMs, this.#gapByMs, this.#rowsByMs, this.#idleAtMs, this.leaseEndMs);
  }

  /** Everything that the session needs is there. */
  opened(): void {
    this.#openByMs = Infinity;
  }

  /** Somebody wants something of the session. */
  heard(nowMs: number): void {
    this.#idleAtMs = nowMs + SESSION_IDLE_MS;
  }

  /** Notes whether messages in between are missing. */
  gap(isWaiting: boolean, nowMs: number): void {
    this.#gapByMs = isWaiting ? Math.min(this.#gapByMs, nowMs + GAP_TIMEOUT_MS) : Infinity;
  }

  /** Notes whether a check waits for rows that never came: it is asked for only after its rows have been round. */
  rows(isWaiting: boolean, nowMs: number): void {
    this.#rowsByMs = isWaiting ? Math.min(this.#rowsByMs, nowMs + ROWS_TIMEOUT_MS) : Infinity;
  }

  /** The first wait that took too long; null if none did. */
  overdue(nowMs: number): Overdue | null {
    if (nowMs >= this.#openByMs) return { what: 'open', error: timeout('opening took too long') };
    if (nowMs >= this.#gapByMs) {
      return { what: 'gap', error: new ChorusError('gap', 'messages in between never came') };
    }
    if (nowMs >= this.#rowsByMs) {
      return { what: 'rows', error: new ChorusError('gap', 'rows that are to be checked never came') };
    }
    if (nowMs >= this.leaseEndMs) return { what: 'lease', error: timeout('the lease has ended') };
    return nowMs >= this.#idleAtMs ? { what: 'idle', error: timeout('the session was idle too long') } : null;
  }
}

function timeout(message: string): ChorusError {
  return new ChorusError('timeout', message);
}
