import type { Clock } from '#shared/clock.ts';

export interface Repeater {
  /** Runs `task` again and again, `delayMs` after it last ended. */
  every(delayMs: number, task: () => void | Promise<void>): void;
  stopAll(): void;
}

/** Repeated tasks: one that fails is reported and ends neither the others nor its own next turn. */
export function createRepeater(clock: Clock, onError: (error: unknown) => void): Repeater {
  const cancels = new Set<() => void>();
  let isStopped = false;
  const arm = (delayMs: number, task: () => void | Promise<void>): void => {
    const cancel = clock.setTimer(() => {
      cancels.delete(cancel);
      Promise.resolve()
        .then(task)
        .catch(onError)
        .finally(() => {
          if (!isStopped) arm(delayMs, task);
        });
    }, delayMs);
    cancels.add(cancel);
  };
  return {
    every: arm,
    stopAll() {
      isStopped = true;
      for (const cancel of cancels) cancel();
    },
  };
}
