import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChorusError } from '#shared/errors.ts';

const RETRY_MS = 20;
/** Work under a lock takes a moment; a lock as old as this was left by a command that was killed. */
const STALE_MS = 10_000;
const MAX_WAIT_MS = 2 * STALE_MS;

/**
 * Runs `work` while no other process runs something under the lock file at `path`. Throws `timeout` if others hold it
 * for 20 s, and what `work` throws.
 */
export async function withLockFile<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  const own = randomUUID();
  for (const beganAtMs = performance.now(); !(await isTaken(path, own));) {
    await removeStale(path);
    if (performance.now() - beganAtMs > MAX_WAIT_MS) {
      throw new ChorusError('timeout', `another command holds ${path}`);
    }
    await sleep(RETRY_MS);
  }
  try {
    return await work();
  } finally {
    // One that took too long may have lost its lock to another, whose it is then.
    if ((await readFile(path, 'utf8').catch(() => '')) === own) await rm(path, { force: true });
  }
}

async function isTaken(path: string, own: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(own);
    } finally {
      await file.close();
    }
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  }
}

/** Renames the lock before it removes it: of several commands that find the same stale lock, only one removes it. */
async function removeStale(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || Date.now() - found.mtimeMs < STALE_MS) return;
  const aside = `${path}.${randomUUID()}`;
  const isMoved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (isMoved) await rm(aside, { force: true });
}
