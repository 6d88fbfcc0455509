import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../signal-server/machine/config.ts';
import { openDataFolder } from '../../signal-server/machine/data-folder.ts';
import { systemRandom } from '../../signal-server/machine/system-clock.ts';
import { ModelCatalog } from '../../signal-server/placement/model-catalog.ts';
import { createSignalServer, type ServerDeps, type SignalServer } from '../../signal-server/server.ts';
import type { Store } from '../../signal-server/store/store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { storeOpener } from '../support/stores.ts';

describe('a server that is stopped while it starts', () => {
  let folder: string;
  let clock: FakeClock;
  let port: number;
  let store: Store;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chorus-server-'));
    clock = new FakeClock();
    port = await freePort();
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });

  async function serverWith(companions: Pick<ServerDeps, 'startGateway' | 'startAnchors'>): Promise<SignalServer> {
    const config = parseConfig({ port, host: '127.0.0.1', anchors: 1, dataFolder: folder });
    const dataFolder = await openDataFolder(folder);
    store = await storeOpener('SQLite', folder)();
    const catalog = new ModelCatalog(dataFolder, config.minStages);
    const base = { clock, random: systemRandom, log: pino({ level: 'silent' }), dataFolder, catalog, store };
    return createSignalServer(config, { ...base, ...companions, version: 'test' });
  }

  it('never listens where it had not come to that', async () => {
    const server = await serverWith({});
    const started = expect(server.start()).rejects.toMatchObject({ code: 'cancelled' });
    await server.stop();
    await started;
    expect(await isOpen(port)).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends the companion that was starting, starts no other, and leaves no timer behind', async () => {
    const events: string[] = [];
    let isGatewayReady = (): void => undefined;
    const gatewayStarts = new Promise<void>((resolve) => (isGatewayReady = resolve));
    let letGatewayStart = (): void => undefined;
    const server = await serverWith({
      async startGateway() {
        isGatewayReady();
        await new Promise<void>((resolve) => (letGatewayStart = resolve));
        events.push('gateway started');
        return { router: express.Router(), stop: async () => void events.push('gateway stopped') };
      },
      startAnchors: async () => ({ stop: async () => void events.push('anchors') }),
    });
    const started = expect(server.start()).rejects.toMatchObject({ code: 'cancelled' });
    await gatewayStarts;
    const stopped = server.stop();
    letGatewayStart();
    await stopped;
    await started;
    expect(events).toEqual(['gateway started', 'gateway stopped']);
    expect(await isOpen(port)).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/healthz`).then(
    () => true,
    () => false,
  );
}
