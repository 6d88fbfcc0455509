import type { Clock } from '#shared/clock.ts';
import { takeLock } from './page-lock.ts';
import type { StorageHealth } from './storage-health.ts';

/**
 * Runs `work` while no other tab of this browser runs some under the same name. Where the browser has no locks for this page,
 * or another tab holds this one for 2 s, it runs all the same.
 */
export async function oneTabAtATime<Result>(
  name: string,
  work: () => Promise<Result>,
  guard: { readonly health: StorageHealth; readonly clock: Clock },
): Promise<Result> {
  const release = await takeLock(name, {}, guard).catch(() => null);
  try {
    return await work();
  } finally {
    release?.();
  }
}
