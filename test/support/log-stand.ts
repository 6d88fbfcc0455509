import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { createLogRouter } from '../../signal-server/log/log-router.ts';
import { openLogService, type LogService, type LogServiceOptions } from '../../signal-server/log/log-service.ts';
import { parseWitnessAddress, type WitnessAddress } from '../../signal-server/machine/witness-address.ts';
import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import { openSqliteWitnessStore } from '../../signal-server/store/sqlite/sqlite-witness-store.ts';
import { startWitness, type RunningWitness } from '../../signal-server/witness/witness-program.ts';
import { realClock } from './real-clock.ts';

export interface Listening {
  readonly url: URL;
  stop(): Promise<void>;
}

export async function listen(handler: RequestListener): Promise<Listening> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'chorus-log-'));
export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });

export interface ServedLog {
  readonly service: LogService;
  /** Of the server, as a witness is given it. */
  readonly url: URL;
  readonly doubts: string[];
  stop(): Promise<void>;
}

/** The part of the server that is a log, over HTTP, in its data folder with its database. */
export async function serveLog(
  dataFolder: string,
  options: Partial<
    Pick<LogServiceOptions, 'origin' | 'publicUrl' | 'witnesses' | 'unwitnessedStart' | 'onGoingOn' | 'onWitness'>
  > = {},
): Promise<ServedLog> {
  const store = await openSqliteStore(dataFolder);
  const doubts: string[] = [];
  try {
    const service = await openLogService({
      dataFolder,
      origin: null,
      publicUrl: null,
      witnesses: [],
      acknowledged: store.acknowledged,
      clock: realClock,
      onError: (error) => doubts.push(String(error)),
      onDoubt: (error) => doubts.push(error.message),
      ...options,
    });
    const server = await listen(express().use('/log', createLogRouter(service)));
    return {
      service,
      url: server.url,
      doubts,
      async stop() {
        await server.stop();
        await service.stop();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** A witness program of a log, in its own folder. */
export function runWitness(
  log: URL,
  dataFolder: string,
  name: string | null = null,
  port = 0,
): Promise<RunningWitness> {
  const onError = (error: unknown): void => {
    throw error;
  };
  const { signal } = new AbortController();
  const openStore = openSqliteWitnessStore;
  const options = { dataFolder, name, openStore, clock: realClock, signal, onError };
  return startWitness({ logs: [log], host: '127.0.0.1', port, ...options });
}

export function addressOf({ verifierKey, port }: RunningWitness): WitnessAddress {
  return parseWitnessAddress(`${verifierKey} http://127.0.0.1:${port}`);
}
