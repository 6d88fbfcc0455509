import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ChorusError } from '#shared/errors.ts';
import { orderBackup } from '../../backup/backup-desk.ts';
import { makeBackup, type MadeBackup } from '../../backup/make-backup.ts';
import { openLogService } from '../../log/log-service.ts';
import { openDataFolder } from '../../machine/data-folder.ts';
import { explainFileFault, setupError } from '../../machine/file-fault.ts';
import { systemClock } from '../../machine/system-clock.ts';
import { demandDatabase, isThere } from '../../machine/used-folder.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { packageVersion } from '../terminal/package-files.ts';

export function defineBackup(command: Command): void {
  command
    .argument('<folder>', 'folder to make')
    .option('--data <folder>', 'data folder of the server', 'data')
    .action(async (folder: string, { data }: { data: string }) => {
      const { signal } = new AbortController();
      const made = (await orderBackup(data, resolve(folder), signal)) ?? (await backUpStopped(data, folder));
      const size = `${made.files} files, ${Math.ceil(made.bytes / 1024)} KiB`;
      process.stdout.write(
        `${made.folder}: ${size}, the log with ${made.entries} entries.\n` +
          'It holds the keys of the server: keep it where only you can read it. Weights are not in it; import models again.\n',
      );
    });
}

/** No server runs on the folder, so it is opened here. */
async function backUpStopped(data: string, folder: string): Promise<MadeBackup> {
  if (!(await isThere(resolve(data, 'log.key')))) throw setupError(`${resolve(data)} is no data folder of a server.`);
  const dataFolder = await openFolder(data, openDataFolder(data));
  await demandDatabase(dataFolder.path);
  const store = await openSqliteStore(dataFolder.path).catch((thrown: unknown) => {
    throw explainFileFault(thrown, resolve(dataFolder.path, 'chorus.sqlite'));
  });
  try {
    const log = await openLogService({
      ...{ dataFolder: dataFolder.path, origin: null, publicUrl: null, witnesses: [], clock: systemClock },
      acknowledged: store.acknowledged,
      onError: (error) => {
        throw error;
      },
      onDoubt: () => {
        // A backup of a log that may not grow is one all the same.
      },
    });
    const copyDatabase = (path: string): Promise<void> => store.copyTo(path);
    const deps = { dataFolder, log, copyDatabase, clock: systemClock, version: packageVersion() };
    try {
      return await makeBackup(folder, deps);
    } finally {
      await log.stop();
    }
  } catch (thrown) {
    if (thrown instanceof ChorusError) throw thrown;
    throw explainFileFault(thrown, resolve(folder));
  } finally {
    await store.close();
  }
}
