import type { RandomBytes } from './clock.ts';

export interface Backoff {
  readonly firstMs: number;
  /** No delay is longer. */
  readonly maxMs: number;
  /**
   * Half of the delay is fixed and half by chance, so that peers do not all come back to a new server at once. Left out
   * where only one waits.
   */
  readonly random?: RandomBytes;
}

/** How long to wait after `failures` failures in a row, at least one: twice as long after each. */
export function backoffMs(failures: number, { firstMs, maxMs, random }: Backoff): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** (failures - 1));
  return random === undefined ? fullMs : Math.round((fullMs / 2) * (1 + (random(1)[0] as number) / 255));
}
