import type { Clock } from '#shared/clock.ts';

/** The browser's own clock. */
export function pageClock(): Clock {
  return {
    wallMs: () => Date.now(),
    nowMs: () => performance.now(),
    setTimer(task, delayMs) {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
  };
}
