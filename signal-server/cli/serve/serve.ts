import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { pino, type Logger } from 'pino';
import { renderUnicodeCompact } from 'uqr';
import { toChorusError } from '#shared/errors.ts';
import { BackupDesk } from '../../backup/backup-desk.ts';
import { makeBackup, type BackupDeps } from '../../backup/make-backup.ts';
import { openLogService } from '../../log/log-service.ts';
import type { Config } from '../../machine/config.ts';
import { openDataFolder, type DataFolder } from '../../machine/data-folder.ts';
import { explainFileFault } from '../../machine/file-fault.ts';
import { guardStore } from '../../machine/guard-store.ts';
import { keysReadByOthers } from '../../machine/key-file.ts';
import { isTold, StorageState } from '../../machine/storage-state.ts';
import { systemClock, systemRandom } from '../../machine/system-clock.ts';
import { demandDatabase } from '../../machine/used-folder.ts';
import { openAnchorKeys } from '../../node-peer/anchors.ts';
import { ModelCatalog } from '../../placement/model-catalog.ts';
import { createSignalServer } from '../../server.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import type { Store } from '../../store/store.ts';
import { reachableAt } from '../terminal/addresses.ts';
import { surviveLostOutput } from '../terminal/lost-output.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { builtPageFolder, packageVersion } from '../terminal/package-files.ts';
import { runUntilStopped, stopSignal } from '../terminal/run-until-stopped.ts';
import { announceReady } from './announce-ready.ts';
import { checkPort, listenError } from './check-port.ts';
import { companions } from './companions.ts';
import { importModels } from './default-model.ts';
import { adviceOn, configOf, type ServeOptions } from './serve-config.ts';

export function defineServe(command: Command): void {
  command
    .option('--port <number>', 'port to listen on, 0 for any (PORT; 8787)')
    .option('--host <address>', 'address to listen on (HOST; 0.0.0.0)')
    .option('--anchors <number>', 'built-in volunteers (CHORUS_ANCHORS; 4)')
    .option(
      '--stand-ins <MiB>',
      'memory for volunteers of its own where no anchors can try a newcomer, 0 for none (2048)',
    )
    .option(
      '--anchor-pledge <MiB>',
      'memory that each of them lends (CHORUS_ANCHOR_PLEDGE; half of the machine’s, shared)',
    )
    .option('--anchor-slots <number>', 'answers that each works on at once (CHORUS_ANCHOR_SLOTS; 4)')
    .option('--data <folder>', 'folder of keys, models and history (CHORUS_DATA; data)')
    .option('--model <source...>', 'models to import where they are not there yet: as chorus import-model takes them')
    .option('--min-stages <number>', 'never split an answer over fewer volunteers')
    .option(
      '--admission-work <tries>',
      'work that a new volunteer shows before it is given any, in tries of some 20 ms each; 0 for none (32)',
    )
    .option('--ice-servers <json>', 'STUN and TURN servers as RTCIceServer[] (CHORUS_ICE_SERVERS)')
    .option('--turn-urls <url...>', 'TURN server that shares a secret with this one (CHORUS_TURN_URLS)')
    .option('--turn-secret <secret>', 'that secret; better in CHORUS_TURN_SECRET, where other users cannot see it')
    .option('--public-url <url>', 'address under which others reach this server')
    .option('--allow-origin <origin...>', 'other origins whose pages may connect')
    .option('--trust-proxy', 'believe X-Forwarded-For: only behind a proxy that writes it')
    .option('--relay-by-default', 'pages talk through this server only, unless their owners choose direct connections')
    .option('--log-origin <name>', 'name of the transparency log, a URL without https:// (made of --public-url)')
    .option('--witness <line...>', "witnesses of the log, each as chorus witness prints it: 'KEY URL'")
    .option(
      '--unwitnessed-start',
      'take entries into the log before a witness was heard: only for the newest copy of a folder',
    )
    .option('--new-server-key', 'go on as another server where server.key is lost')
    .option('--new-database', 'go on without trust, faults and receipts where chorus.sqlite is lost')
    .option('--receipt-days <number>', 'how long receipts are kept (365)')
    .option('--receipt-count <number>', 'how many are kept at most (20000)')
    .option('--receipt-bytes <number>', 'how many bytes these take at most (2147483648)')
    .option(
      '--limit <name=value...>',
      'a limit by its name in the configuration: a number, or for rates PER_SECOND/BURST',
    )
    .option('--log-level <level>', 'fatal, error, warn, info, debug, trace or silent (CHORUS_LOG_LEVEL; info)')
    .action((options: ServeOptions) => serve(configOf(options, process.env)));
}

async function serve(given: Config): Promise<void> {
  // What is written from here on is for this user alone, and so are the files of libraries.
  process.umask(0o077);
  // Before the import, which takes a while. A signal ends the process at once as long as nothing is open.
  await checkPort(given);
  const dataFolder = await openFolder(given.dataFolder, openDataFolder(given.dataFolder, given));
  const stop = stopSignal();
  const hasPage = existsSync(join(builtPageFolder, 'index.html'));
  const config = { ...given, webFolder: hasPage ? builtPageFolder : null };
  const destination = logDestination();
  surviveLostOutput(destination);
  const log = pino({ level: config.logLevel, base: null }, destination);
  try {
    await serveFolder(config, dataFolder, log, hasPage, stop);
  } catch (thrown) {
    throw explainFileFault(thrown, dataFolder.path);
  } finally {
    // The `peer` package keeps timers that nothing can stop, so the process ends by force once the outcome is told.
    setImmediate(() => process.exit());
  }
}

async function serveFolder(
  config: Config,
  dataFolder: DataFolder,
  log: Logger,
  hasPage: boolean,
  stop: AbortSignal,
): Promise<void> {
  if (!config.newDatabase) await demandDatabase(dataFolder.path);
  const databasePath = join(dataFolder.path, 'chorus.sqlite');
  const opened = await openSqliteStore(dataFolder.path).catch((thrown: unknown) => {
    throw explainFileFault(thrown, databasePath);
  });
  const storage = new StorageState(databasePath, ({ message, isOver }) => log[isOver ? 'warn' : 'error'](message));
  const store = guardStore(opened, storage);
  try {
    await importModels(dataFolder, config, stop).catch((thrown: unknown) => {
      if (!stop.aborted) throw thrown;
    });
    const copyDatabase = (path: string): Promise<void> => opened.copyTo(path);
    if (!stop.aborted) await run(config, dataFolder, { store, storage, copyDatabase }, log, hasPage, stop);
  } finally {
    await store.close();
  }
}

/** What is kept in the data folder, and whether it can be. */
interface Kept extends Pick<BackupDeps, 'copyDatabase'> {
  readonly store: Store;
  readonly storage: StorageState;
}

async function run(
  config: Config,
  dataFolder: DataFolder,
  { store, storage, copyDatabase }: Kept,
  log: Logger,
  hasPage: boolean,
  stop: AbortSignal,
): Promise<void> {
  await openAnchorKeys(dataFolder.path, config.anchors);
  const catalog = new ModelCatalog(dataFolder, config.minStages);
  const base = { clock: systemClock, random: systemRandom, log, dataFolder, catalog, store, storage };
  const transparencyLog = await openLogService({
    dataFolder: dataFolder.path,
    origin: config.logOrigin,
    publicUrl: config.publicUrl,
    witnesses: config.witnesses,
    unwitnessedStart: config.unwitnessedStart,
    acknowledged: store.acknowledged,
    clock: systemClock,
    onError: (error) => log[isTold(error) ? 'debug' : 'error'](error),
    onDoubt: (error) => log.fatal(error.message),
    onDatabaseBehind: (entries) =>
      log.warn({ entries }, 'chorus.sqlite knows of fewer entries than the log has: is it an older copy?'),
    onGoingOn: () => log.warn('the transparency log takes entries again'),
    onWitness: (witness, error) =>
      error === null
        ? log.info({ witness }, 'a witness cosigned')
        : log.warn({ witness, reason: error }, 'a witness failed'),
  });
  for (const path of await keysReadByOthers(dataFolder.path))
    log.warn(`${path} can be read by other users of this machine: chmod 600 it, and take the key for known to them`);
  for (const [is, what] of givenUp(config)) if (is) log.warn(what);
  const version = packageVersion();
  const backups = new BackupDesk(dataFolder.path, (folder) =>
    makeBackup(folder, { dataFolder, log: transparencyLog, copyDatabase, clock: systemClock, version }),
  );
  const ownRouter = backups.router;
  const server = createSignalServer(config, { ...base, ...companions, transparencyLog, ownRouter, version });
  const stopped = runUntilStopped(async () => {
    await backups.close();
    await server.stop();
    await transparencyLog.stop();
  }, stop);
  try {
    const { port } = await server.start();
    await backups.open(reachableAt(config.host, port).local).catch((thrown: unknown) => {
      log.warn(`chorus backup finds no way to this server while it runs: ${toChorusError(thrown).message}`);
    });
    if (!stop.aborted) announce(config, port, hasPage);
    for (const advice of adviceOn(config)) log.warn(advice);
    announceReady(server, config.anchors, () => stop.aborted).catch((error: unknown) => log.error(error));
  } catch (error) {
    if (!stop.aborted) {
      await server.stop();
      await transparencyLog.stop();
      throw listenError(error, config);
    }
  }
  await stopped;
}

/** What the operator has chosen to go on without. */
function givenUp({ unwitnessedStart, newServerKey, newDatabase }: Config): [boolean, string][] {
  return [
    [unwitnessedStart, '--unwitnessed-start: entries are taken before a witness has been heard'],
    [newServerKey, '--new-server-key: where server.key was lost, this is another server now'],
    [newDatabase, '--new-database: where chorus.sqlite was lost, trust, faults and receipts begin anew'],
  ];
}

function announce(config: Config, port: number, hasPage: boolean): void {
  const { local, shared } = reachableAt(config.host, port);
  const lines = [`Chorus is at ${config.publicUrl ?? local}`];
  const share = config.publicUrl ?? shared[0];
  if (config.publicUrl === null && shared.length > 0) {
    lines.push(`on this network: ${shared.join('  ')}`);
    lines.push(
      'Browsers give keys and GPUs to secure pages only: for other devices put a proxy with https before it and say --public-url.',
    );
  }
  if (!hasPage) lines.push('The page is not built, so only the API is there: run npm run build, then start again.');
  process.stdout.write(`${lines.join('\n')}\n`);
  if (share !== undefined && process.stdout.isTTY) process.stdout.write(`${renderUnicodeCompact(share)}\n`);
}

/** Readable lines for a person, JSON for a program. */
function logDestination(): NodeJS.WritableStream | ReturnType<typeof pino.transport> {
  if (!process.stderr.isTTY) return process.stderr;
  return pino.transport({ target: 'pino-pretty', options: { destination: 2, ignore: 'pid,hostname' } });
}
