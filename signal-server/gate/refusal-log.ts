import type { Clock } from '#shared/clock.ts';
import type { SocketRefusal } from './socket-refusal.ts';

/** Refusals of one kind are told again after this at the soonest. */
const PAUSE_MS = 10 * 60_000;

/** Tells the operator which sockets are refused and what to do about it: each kind at once, then now and then with its count. */
export class RefusalLog {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #warn: (message: string) => void;
  readonly #kinds = new Map<string, { toldAtMs: number; untold: number }>();

  constructor(clock: Pick<Clock, 'nowMs'>, warn: (message: string) => void) {
    this.#clock = clock;
    this.#warn = warn;
  }

  add({ status, advice }: SocketRefusal): void {
    if (advice === null) return;
    const nowMs = this.#clock.nowMs();
    const kind = this.#kinds.get(status);
    if (kind !== undefined && nowMs - kind.toldAtMs < PAUSE_MS) {
      kind.untold++;
      return;
    }
    const more =
      kind === undefined || kind.untold === 0 ? '' : ` (and ${kind.untold} times more since it was said last)`;
    this.#kinds.set(status, { toldAtMs: nowMs, untold: 0 });
    this.#warn(`a socket was refused: ${advice}${more}`);
  }
}
