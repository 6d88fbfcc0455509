import { resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { explainFileFault } from '../../machine/file-fault.ts';
import { systemClock } from '../../machine/system-clock.ts';
import { openSqliteWitnessStore } from '../../store/sqlite/sqlite-witness-store.ts';
import { startWitness } from '../../witness/witness-program.ts';
import { reachableAt } from '../terminal/addresses.ts';
import { surviveLostOutput } from '../terminal/lost-output.ts';
import { httpUrl, numberWithin } from '../terminal/option-values.ts';
import { runUntilStopped, stopSignal } from '../terminal/run-until-stopped.ts';

interface WitnessCommand {
  readonly log: readonly URL[];
  readonly host: string;
  readonly port: number;
  readonly data: string;
  readonly name?: string;
  readonly publicUrl?: URL;
}

export function defineWitness(command: Command): void {
  command
    .requiredOption('--log <url>', 'server whose log to watch; may be given several times', addUrl)
    .option('--port <number>', 'port to listen on, 0 for any', numberWithin(0, 65_535, 'whole'), 8790)
    .option('--host <address>', 'address to listen on', '0.0.0.0')
    .option('--data <folder>', 'folder of its key and of what it has cosigned', 'data/witness')
    .option('--name <name>', 'name to sign under: a URL without https://', witnessName)
    .option('--public-url <url>', 'address under which the log reaches this witness', httpUrl)
    .action(witness);
}

async function witness(options: WitnessCommand): Promise<void> {
  const { log: logs, host, port, data: dataFolder, name = null } = options;
  const signal = stopSignal();
  surviveLostOutput();
  const onError = (error: unknown): void => void process.stderr.write(`chorus: ${String(error)}\n`);
  const openStore = openSqliteWitnessStore;
  const given = { logs, host, port, dataFolder, name, openStore, clock: systemClock, signal, onError };
  const running = await startWitness(given).catch((thrown: unknown) => {
    if (signal.aborted) return null;
    throw explainFileFault(thrown, resolve(dataFolder, 'witness.sqlite'));
  });
  if (running === null) return;
  const stopped = runUntilStopped(() => running.stop(), signal);
  const { local } = reachableAt(host, running.port);
  const url = options.publicUrl?.href ?? local;
  const lines = [
    `Witness ${running.verifierKey}`,
    `at ${url}, watching`,
    ...running.logs.map((key) => `  ${formatVerifierKey(key)}`),
    ...running.unreachable.map(({ error }) => `not heard from now: ${error.message}`),
    'The operator of the log adds to chorus serve:',
    `  --witness '${running.verifierKey} ${url}'`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  await stopped;
}

function addUrl(text: string, before: readonly URL[] = []): URL[] {
  return [...before, httpUrl(text)];
}

function witnessName(text: string): string {
  if (/^[\w.:/-]{1,200}$/.test(text) && !text.includes('://')) return text;
  throw new InvalidArgumentError('Expected a URL without its scheme, such as witness.example.');
}
