import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Clock } from '#shared/clock.ts';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { openLogService, type LogService } from '../../signal-server/log/log-service.ts';
import { parseConfig, type ConfigInput } from '../../signal-server/machine/config.ts';
import { openDataFolder, type DataFolder } from '../../signal-server/machine/data-folder.ts';
import { systemClock, systemRandom } from '../../signal-server/machine/system-clock.ts';
import { ModelCatalog, storeManifest } from '../../signal-server/placement/model-catalog.ts';
import { createSignalServer, type ServerDeps, type SignalServer } from '../../signal-server/server.ts';
import type { Store } from '../../signal-server/store/store.ts';
import { isThorough } from './effort.ts';
import { storeOpener, type StoreKind } from './stores.ts';

export { STORE_KINDS } from './stores.ts';

export interface TestServer {
  readonly port: number;
  readonly url: string;
  readonly server: SignalServer;
  readonly dataFolder: DataFolder;
  readonly store: Store;
  readonly transparencyLog: LogService;
  readonly digests: readonly Digest[];
  stop(): Promise<void>;
}

export interface TestServerOptions {
  readonly config?: ConfigInput;
  readonly manifests?: readonly Manifest[];
  readonly clock?: Clock;
  readonly companions?: Pick<ServerDeps, 'startGateway' | 'startHidden' | 'startStandIns' | 'startAnchors'>;
  /** A data folder that outlives the server; its own if left out. */
  readonly folder?: string;
  /** To sockets in another process; without it, the server has its own. */
  readonly router?: ServerDeps['router'];
  /** SQLite where the data folder outlives the server, and under `npm run test:thorough`; memory otherwise. */
  readonly store?: StoreKind;
  /** Gets every line of the log. */
  readonly onLog?: (line: string) => void;
}

/** The whole signal server in this process, with its own data folder, on a port the system chooses. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { clock = systemClock, manifests = [], companions = {}, onLog, router } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'chorus-server-')));
  const config = parseConfig({
    anchors: 0,
    admissionWork: 0,
    ...options.config,
    port: 0,
    host: '127.0.0.1',
    dataFolder: folder,
  });
  const dataFolder = await openDataFolder(folder);
  const digests: Digest[] = [];
  for (const manifest of manifests) digests.push(await storeManifest(dataFolder, manifest));
  const kind = options.store ?? (options.folder === undefined && !isThorough ? 'memory' : 'SQLite');
  const store = await storeOpener(kind, folder)();
  const log = onLog ? pino({ level: 'trace' }, { write: onLog }) : pino({ level: 'silent' });
  const catalog = new ModelCatalog(dataFolder, config.minStages);
  const base = { clock, random: systemRandom, log, dataFolder, catalog, store, version: 'test' };
  const transparencyLog = await openLogService({
    dataFolder: folder,
    origin: config.logOrigin,
    publicUrl: config.publicUrl,
    witnesses: config.witnesses,
    acknowledged: store.acknowledged,
    // Its waits are for disks and witnesses, which are real.
    clock: systemClock,
    onError: (error) => log.error(error),
    onDoubt: (error) => log.fatal(error.message),
  });
  const server = createSignalServer(config, { ...base, ...companions, ...(router && { router }), transparencyLog });
  const { port } = await server.start();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    server,
    dataFolder,
    store,
    transparencyLog,
    digests,
    async stop() {
      await server.stop();
      await transparencyLog.stop();
      await store.close();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}
