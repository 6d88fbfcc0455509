import { chmod, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { toChorusError } from '#shared/errors.ts';
import { RESTORED_FILE } from '../log/restored-log.ts';
import { bytesToRead, copyDurably, makeFolder, syncFolder, writeDurably } from '../machine/durable-file.ts';
import { setupError } from '../machine/file-fault.ts';
import { openKeyFile } from '../machine/key-file.ts';
import { isThere } from '../machine/used-folder.ts';
import { MANIFEST_FILE, openManifest, type BackupFile, type BackupManifest } from './backup-manifest.ts';
import { demandNothingThere, digestOfFile, isInside, wrongFolder } from './make-backup.ts';

/**
 * Puts a backup where a data folder shall be, whole or not at all, once all of it was found to be what was signed. Throws
 * `internal`, for the operator, for one that is not whole, and `bad-message` if something is there already.
 */
export async function restoreBackup(from: string, to: string, clock: Pick<Clock, 'wallMs'>): Promise<BackupManifest> {
  const [backup, folder] = [resolve(from), resolve(to)];
  if (isInside(folder, backup))
    throw wrongFolder(`${folder} is in the backup, which stays as it is. Name a folder elsewhere with --data`);
  await demandNothingThere(folder);
  const manifest = await readBackup(backup);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await makeFolder(unfinished);
  try {
    for (const file of manifest.files) {
      const [source, target] = [join(backup, file.path), join(unfinished, file.path)];
      if ((await bytesToRead(source)) === null)
        throw setupError(`${source} is missing: the backup is not whole. Take another one.`);
      await makeFolder(dirname(target));
      await copyDurably(source, target);
      // What was copied, not what was read: the disk may have changed its mind.
      await demandFile(target, file, source);
      if (file.path.endsWith('.key')) await chmod(target, 0o600);
    }
    const restored = { madeAtMs: manifest.madeAtMs, restoredAtMs: Math.floor(clock.wallMs()) };
    await writeDurably(join(unfinished, RESTORED_FILE), utf8(`${JSON.stringify(restored)}\n`));
    await rename(unfinished, folder);
    await syncFolder(dirname(folder));
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  return manifest;
}

/** The manifest of a backup, signed by the key that is in it. */
async function readBackup(backup: string): Promise<BackupManifest> {
  const path = join(backup, MANIFEST_FILE);
  for (const needed of [path, join(backup, 'server.key')]) {
    if (!(await isThere(needed)))
      throw setupError(`${needed} is missing: ${backup} is no backup, or one that was cut off.`);
  }
  const { publicKey } = await openKeyFile(join(backup, 'server.key'));
  try {
    return await openManifest(await readFile(path, 'utf8'), publicKey);
  } catch (thrown) {
    throw setupError(
      `${path} is not what was signed: ${toChorusError(thrown).message.slice(0, 300)}. Take another backup.`,
    );
  }
}

async function demandFile(path: string, { bytes, sha256 }: BackupFile, source: string): Promise<void> {
  if ((await stat(path)).size === bytes && (await digestOfFile(path)) === sha256) return;
  throw setupError(`${source} is not what was backed up: the backup is damaged. Take another one.`);
}
