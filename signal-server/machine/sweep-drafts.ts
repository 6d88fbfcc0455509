import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from './system-clock.ts';

/** A draft that nobody has written to for so long was left behind by a process that was killed. */
const MAX_DRAFT_AGE_MS = 60 * 60_000;
/** As `BlobWriter`, the disk blob store and the data folder call files that are not whole yet. */
const DRAFT_NAME = /^\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.part)?|[0-9a-f]{16}\.part)$/;

/** Removes drafts that were left behind in a folder, and in those within it. Another process may be writing its own. */
export async function sweepDrafts(folder: string): Promise<void> {
  const oldestMs = systemClock.wallMs() - MAX_DRAFT_AGE_MS;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const { parentPath, name } of entries.filter((entry) => entry.isFile() && DRAFT_NAME.test(entry.name))) {
    const path = join(parentPath, name);
    const file = await stat(path).catch(() => null);
    if (file !== null && file.mtimeMs < oldestMs) await rm(path, { force: true });
  }
}
