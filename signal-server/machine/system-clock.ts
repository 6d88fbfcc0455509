import { randomBytes } from 'node:crypto';
import type { Clock, RandomBytes } from '#shared/clock.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  setTimer(task, delayMs) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export const systemRandom: RandomBytes = (count) => new Uint8Array(randomBytes(count));
