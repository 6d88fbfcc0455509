import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { configSchema } from '../../signal-server/machine/config.ts';
import { openDataFolder } from '../../signal-server/machine/data-folder.ts';
import { systemClock, systemRandom } from '../../signal-server/machine/system-clock.ts';
import { ModelCatalog } from '../../signal-server/placement/model-catalog.ts';
import { createSignalServer } from '../../signal-server/server.ts';
import { createMemoryStore } from '../../signal-server/store/memory/memory-store.ts';

export interface InProcessServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** The whole signal server in this process, without models and anchors, on a port the system chooses. */
export async function startInProcessServer(allowedOrigins: string[] = []): Promise<InProcessServer> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-server-'));
  const config = configSchema.parse({ port: 0, host: '127.0.0.1', dataFolder: folder, anchors: 0, allowedOrigins });
  const dataFolder = await openDataFolder(folder);
  const server = createSignalServer(config, {
    clock: systemClock,
    random: systemRandom,
    log: pino({ level: 'silent' }),
    dataFolder,
    catalog: new ModelCatalog(dataFolder, config.minStages),
    store: createMemoryStore(),
    version: 'test',
  });
  const { port } = await server.start();
  return {
    port,
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
