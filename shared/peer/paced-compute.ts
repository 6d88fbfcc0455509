import type { Clock } from '../clock.ts';
import type { StageCompute } from '../session/compute.ts';

/**
 * `compute` with a pause after each run, so that runs take at most `share` (over 0, at most 1) of the time. Results are
 * not held back; the wait for a pause counts as `queueUs`.
 */
export function pacedCompute(compute: StageCompute, clock: Clock, share: number): StageCompute {
  if (share >= 1) return compute;
  let turn: Promise<unknown> = Promise.resolve();
  let freeAtMs = -Infinity;

  async function rest(): Promise<void> {
    const restMs = freeAtMs - clock.nowMs();
    if (restMs > 0) await new Promise<void>((resolve) => clock.setTimer(resolve, restMs));
  }

  return {
    open: (session, capacity) => compute.open(session, capacity),
    run(request) {
      const askedAtMs = clock.nowMs();
      const run = turn.then(rest).then(async () => {
        const startedAtMs = clock.nowMs();
        try {
          const { output, timings } = await compute.run(request);
          const queueUs = timings.queueUs + Math.round(1000 * (startedAtMs - askedAtMs));
          return { output, timings: { ...timings, queueUs } };
        } finally {
          const endedAtMs = clock.nowMs();
          freeAtMs = endedAtMs + (endedAtMs - startedAtMs) * (1 / share - 1);
        }
      });
      turn = run.catch(() => undefined);
      return run;
    },
    cut: (session, position) => compute.cut(session, position),
    close: (session) => compute.close(session),
  };
}
