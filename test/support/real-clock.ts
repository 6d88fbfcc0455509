import type { Clock } from '#shared/clock.ts';

/** The platform's own clock, for tests over real transports. */
export const realClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  setTimer(task, delayMs) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
