import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { pino, type Logger } from 'pino';
import { renderUnicodeCompact } from 'uqr';
import { openLogService } from '../../log/log-service.ts';
import type { Config } from '../../machine/config.ts';
import { openDataFolder, type DataFolder } from '../../machine/data-folder.ts';
import { systemClock, systemRandom } from '../../machine/system-clock.ts';
import { ModelCatalog } from '../../placement/model-catalog.ts';
import { createSignalServer } from '../../server.ts';
import { openSqliteStore } from '../../store/sqlite/sqlite-store.ts';
import type { Store } from '../../store/store.ts';
import { reachableAt } from '../terminal/addresses.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { builtPageFolder, packageVersion } from '../terminal/package-files.ts';
import { runUntilStopped } from '../terminal/run-until-stopped.ts';
import { announceReady } from './announce-ready.ts';
import { checkPort, listenError } from './check-port.ts';
import { companions } from './companions.ts';
import { importDefaultModel } from './default-model.ts';
import { adviceOn, configOf, type ServeOptions } from './serve-config.ts';

export function defineServe(command: Command): void {
  command
    .option('--port <number>', 'port to listen on, 0 for any (PORT; 8787)')
    .option('--host <address>', 'address to listen on (HOST; 0.0.0.0)')
    .option('--anchors <number>', 'built-in volunteers (CHORUS_ANCHORS; 4)')
    .option('--data <folder>', 'folder of keys, models and history (CHORUS_DATA; data)')
    .option('--min-stages <number>', 'never split an answer over fewer volunteers')
    .option('--ice-servers <json>', 'STUN and TURN servers as RTCIceServer[] (CHORUS_ICE_SERVERS)')
    .option('--turn-urls <url...>', 'TURN server that shares a secret with this one (CHORUS_TURN_URLS)')
    .option('--turn-secret <secret>', 'that secret; better in CHORUS_TURN_SECRET, where other users cannot see it')
    .option('--public-url <url>', 'address under which others reach this server')
    .option('--allow-origin <origin...>', 'other origins whose pages may connect')
    .option('--trust-proxy', 'believe X-Forwarded-For: only behind a proxy that writes it')
    .option('--relay-by-default', 'pages talk through this server only, unless their owners choose direct connections')
    .option('--log-origin <name>', 'name of the transparency log, a URL without https:// (made of --public-url)')
    .option('--witness <line...>', "witnesses of the log, each as chorus witness prints it: 'KEY URL'")
    .option('--receipt-days <number>', 'how long receipts are kept (365)')
    .option('--receipt-count <number>', 'how many are kept at most (20000)')
    .option('--receipt-bytes <number>', 'how many bytes these take at most (2147483648)')
    .option('--log-level <level>', 'fatal, error, warn, info, debug, trace or silent (CHORUS_LOG_LEVEL; info)')
    .action((options: ServeOptions) => serve(configOf(options, process.env)));
}

async function serve(given: Config): Promise<void> {
  // Before the import, which takes a while.
  await checkPort(given);
  const hasPage = existsSync(join(builtPageFolder, 'index.html'));
  const config = { ...given, webFolder: hasPage ? builtPageFolder : null };
  const log = pino({ level: config.logLevel, base: null }, logDestination());
  const dataFolder = await openFolder(config.dataFolder, openDataFolder(config.dataFolder));
  const store = await openSqliteStore(dataFolder.path);
  try {
    await importDefaultModel(dataFolder, config.minStages);
    await run(config, dataFolder, store, log, hasPage);
  } finally {
    await store.close();
    // The `peer` package keeps timers that nothing can stop, so the process ends by force once the outcome is told.
    setImmediate(() => process.exit());
  }
}

async function run(config: Config, dataFolder: DataFolder, store: Store, log: Logger, hasPage: boolean): Promise<void> {
  const catalog = new ModelCatalog(dataFolder, config.minStages);
  const base = { clock: systemClock, random: systemRandom, log, dataFolder, catalog, store, version: packageVersion() };
  const transparencyLog = await openLogService({
    dataFolder: dataFolder.path,
    origin: config.logOrigin,
    publicUrl: config.publicUrl,
    witnesses: config.witnesses,
    acknowledged: store.acknowledged,
    clock: systemClock,
    onError: (error) => log.error(error),
    onDoubt: (error) => log.fatal(error.message),
  });
  const server = createSignalServer(config, { ...base, ...companions, transparencyLog });
  let isStopping = false;
  const stopped = runUntilStopped(async () => {
    isStopping = true;
    await server.stop();
    await transparencyLog.stop();
  });
  try {
    const { port } = await server.start();
    announce(config, port, hasPage);
    for (const advice of adviceOn(config)) log.warn(advice);
    announceReady(server, config.anchors, () => isStopping).catch((error: unknown) => log.error(error));
  } catch (error) {
    if (!isStopping) {
      await server.stop();
      await transparencyLog.stop();
      throw listenError(error, config);
    }
  }
  await stopped;
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
