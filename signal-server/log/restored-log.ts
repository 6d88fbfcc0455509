import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../machine/durable-file.ts';
import { isThere } from '../machine/used-folder.ts';

/** Lies in a data folder that was put back from a backup, until its log may grow: it may once have had more entries. */
export const RESTORED_FILE = 'restored.json';

export function isRestored(dataFolder: string): Promise<boolean> {
  return isThere(join(dataFolder, RESTORED_FILE));
}

/** The log may grow: the folder is one like any other. */
export async function forgetRestored(dataFolder: string): Promise<void> {
  await rm(join(dataFolder, RESTORED_FILE), { force: true });
  await syncFolder(dataFolder);
}
