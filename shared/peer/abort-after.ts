import type { Clock } from '../clock.ts';

export interface Limit {
  readonly signal: AbortSignal;
  /** Counts from now on, for a limit on silence: to be called at each sign of life. */
  restart(): void;
  /** To be called when the work is done, whatever came of it. */
  clear(): void;
}

/** A signal that aborts with `reason` after `delayMs`, or as soon as `parent` does. */
export function abortAfter(clock: Clock, delayMs: number, reason: unknown, parent: AbortSignal): Limit {
  const controller = new AbortController();
  const start = (): (() => void) => clock.setTimer(() => controller.abort(reason), delayMs);
  let stopTimer = start();
  const onAbort = () => controller.abort(parent.reason);
  if (parent.aborted) onAbort();
  parent.addEventListener('abort', onAbort);
  return {
    signal: controller.signal,
    restart() {
      stopTimer();
      stopTimer = start();
    },
    clear() {
      stopTimer();
      parent.removeEventListener('abort', onAbort);
    },
  };
}
