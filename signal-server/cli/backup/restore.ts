import { resolve } from 'node:path';
import type { Command } from 'commander';
import { restoreBackup } from '../../backup/restore-backup.ts';
import { explainFileFault } from '../../machine/file-fault.ts';
import { systemClock } from '../../machine/system-clock.ts';

const HOUR_MS = 60 * 60_000;

export function defineRestore(command: Command): void {
  command
    .argument('<folder>', 'the backup')
    .option('--data <folder>', 'data folder to make', 'data')
    .action(async (folder: string, { data }: { data: string }) => {
      const { madeAtMs, entries, files } = await restoreBackup(folder, data, systemClock).catch((thrown: unknown) => {
        throw explainFileFault(thrown, resolve(data));
      });
      const hours = (systemClock.wallMs() - madeAtMs) / HOUR_MS;
      const age = hours < 48 ? `${hours.toFixed(1)} hours` : `${Math.floor(hours / 24)} days`;
      process.stdout.write(
        `${resolve(data)}: ${files.length} files of ${new Date(madeAtMs).toISOString()}, ${age} ago; the log has ${entries} entries.\n` +
          'The log takes no more before a witness of it was heard. Did the server log nothing after that time, and has no ' +
          'witness, start it once with --unwitnessed-start; did it, begin a new log (docs/operating.md, "A bad day").\n',
      );
    });
}
