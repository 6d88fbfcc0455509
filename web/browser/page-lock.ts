import type { Clock } from '#shared/clock.ts';
import { toNotKept } from './not-kept.ts';
import type { StorageHealth } from './storage-health.ts';
import { unlessSilent } from './unless-silent.ts';

/**
 * A lock that all tabs of this browser see, held until the returned function is called or the page goes; null where `ifAvailable`
 * was asked for and another tab has it. Rejects with `NotKept` where the browser has no locks for this page, or does not answer
 * for 2 s: with its cookies blocked, for one.
 */
export async function takeLock(
  name: string,
  options: LockOptions,
  { health, clock }: { readonly health: StorageHealth; readonly clock: Clock },
): Promise<(() => void) | null> {
  if (health.silence !== null) throw health.silence;
  let isLate = false;
  const asked = new Promise<(() => void) | null>((resolve, reject) => {
    const hold = (lock: Lock | null): Promise<void> | undefined => {
      if (lock === null || isLate) return void resolve(null);
      return new Promise<void>((release) => resolve(release));
    };
    // Where there are no locks at all, asking throws at once.
    Promise.resolve()
      .then(() => navigator.locks.request(name, options, hold))
      .catch(reject);
  });
  try {
    return await unlessSilent(asked, clock);
  } catch (thrown) {
    isLate = true;
    const reason = toNotKept(thrown);
    // One that had to be waited for may be held by another tab.
    if (reason.fault === 'silent' && options.ifAvailable === true) health.silence ??= reason;
    throw reason;
  }
}
