import type { Clock } from '../clock.ts';

export interface Limit {
  readonly signal: AbortSignal;
  /** To be called when the work is done, whatever came of it. */
  clear(): void;
}

/** A signal that aborts with `reason` after `delayMs`, or as soon as `parent` does. */
export function abortAfter(clock: Clock, delayMs: number, reason: unknown, parent: AbortSignal): Limit {
  const controller = new AbortController();
  const stopTimer = clock.setTimer(() => controller.abort(reason), delayMs);
  const onAbort = () => controller.abort(parent.reason);
  if (parent.aborted) onAbort();
  parent.addEventListener('abort', onAbort);
  return {
    signal: controller.signal,
    clear() {
      stopTimer();
      parent.removeEventListener('abort', onAbort);
    },
  };
}
