import type { Clock } from '#shared/clock.ts';
import { NotKept } from './not-kept.ts';

/** Counting ticks, not time, forgives a stall of this page. */
const TICK_MS = 1_000;
const MAX_SILENT_TICKS = 2;

/**
 * The outcome of `work`; rejects with `NotKept` once 2 s have passed in which `countEnded`, of whatever it goes on with, has not
 * changed.
 */
export function unlessSilent<Result>(
  work: Promise<Result>,
  clock: Clock,
  countEnded: () => number = () => 0,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    let ended = countEnded();
    let silentTicks = 0;
    const tick = (): void => {
      silentTicks = countEnded() === ended ? silentTicks + 1 : 0;
      ended = countEnded();
      if (silentTicks === MAX_SILENT_TICKS) reject(new NotKept('silent'));
      else stopTimer = clock.setTimer(tick, TICK_MS);
    };
    let stopTimer = clock.setTimer(tick, TICK_MS);
    work.then(resolve, reject).finally(() => stopTimer());
  });
}
