import type { Clock } from '../../clock.ts';
import { RUN_TIMEOUT_MS } from '../../limits.ts';
import type { StageCompute } from '../../rows/compute.ts';

/** By when a run should have ended, counted from when it was asked for: some runs take longer than the one before. */
const ENDED_WITHIN_MS = 0.8 * RUN_TIMEOUT_MS;

/**
 * `compute` with a pause after each run, so that runs take at most `share()` (over 0, at most 1) of the time, as it is at
 * their end. A pause ends early where a run that waits for it would come too late. Results are not held back; the wait
 * for a pause counts as `queueUs`.
 */
export function pacedCompute(compute: StageCompute, clock: Clock, share: () => number): StageCompute {
  let turn: Promise<unknown> = Promise.resolve();
  let freeAtMs = -Infinity;
  let lastRunMs = 0;
  /** When the runs were asked for that have not begun, in their order. */
  const waitingSinceMs: number[] = [];
  let endPause = (): void => undefined;

  function pauseMs(): number {
    const latestMs = waitingSinceMs.map((sinceMs, i) => sinceMs + ENDED_WITHIN_MS - (i + 1) * lastRunMs);
    return Math.min(freeAtMs, ...latestMs) - clock.nowMs();
  }

  async function rest(): Promise<void> {
    for (let leftMs = pauseMs(); leftMs > 0; leftMs = pauseMs()) {
      await new Promise<void>((resolve) => {
        const stopTimer = clock.setTimer(resolve, leftMs);
        endPause = () => {
          stopTimer();
          resolve();
        };
      });
    }
  }

  return {
    open: (session, capacity) => compute.open(session, capacity),
    run(request) {
      if (share() >= 1 && waitingSinceMs.length === 0) return compute.run(request);
      const askedAtMs = clock.nowMs();
      waitingSinceMs.push(askedAtMs);
      // The more runs wait, the sooner the first must begin.
      endPause();
      const run = turn.then(rest).then(async () => {
        const startedAtMs = clock.nowMs();
        waitingSinceMs.shift();
        try {
          const { output, timings } = await compute.run(request);
          const queueUs = timings.queueUs + Math.round(1000 * (startedAtMs - askedAtMs));
          return { output, timings: { ...timings, queueUs } };
        } finally {
          lastRunMs = clock.nowMs() - startedAtMs;
          freeAtMs = clock.nowMs() + lastRunMs * (1 / share() - 1);
        }
      });
      turn = run.catch(() => undefined);
      return run;
    },
    cut: (session, position) => compute.cut(session, position),
    close: (session) => compute.close(session),
  };
}
