import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import type { ServerApi } from '#shared/peer/server/server-api.ts';
import { serverApiAt } from '../../../signal-server/node-peer/server-api.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const digest = 'a'.repeat(64) as Digest;
const signal = new AbortController().signal;
let server: Server;
let clock: FakeClock;
let api: ServerApi;
let answering: Promise<ServerResponse>;

beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  answering = once(server, 'request').then(([, response]) => response as ServerResponse);
  clock = new FakeClock();
  api = serverApiAt(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), clock);
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it('a piece may take as long as its link needs, as long as some of it comes', async () => {
  const piece = api.fetchRange(digest, 0, 4, signal);
  const response = await answering;
  response.writeHead(206);
  for (const part of ['w', 'r', 'e']) {
    const restarted = timerRestarted();
    response.write(part);
    await restarted;
    await clock.advance(25_000);
  }
  response.end('n');
  expect(new TextDecoder().decode(await piece)).toBe('wren');
  expect(clock.pendingTimers).toBe(0);
});

it('a server that falls silent is given up', async () => {
  const lost = expect(api.fetchRange(digest, 0, 4, signal)).rejects.toMatchObject({ code: 'timeout' });
  const response = await answering;
  response.writeHead(206);
  const restarted = timerRestarted();
  response.write('w');
  await restarted;
  await clock.advance(30_000);
  await lost;
});

it('a refusal names the server, the path and the reason that was given', async () => {
  const refused = api.fetchManifest(digest, signal).catch((error: unknown) => error);
  const response = await answering;
  response.writeHead(404).end('{"error":{"code":"unknown-model","message":"this server has no such model"}}');
  const message = expect.stringMatching(
    /^http:\/\/127\.0\.0\.1:\d+ answered 404 to \/api\/models\/a{64}: this server has no such model$/,
  ) as string;
  expect(await refused).toMatchObject({ code: 'unknown-model', message });
});

it('a server that is gone is named, with what the machine says of it', async () => {
  const gone = await freePort();
  const lost = serverApiAt(new URL(`http://127.0.0.1:${gone}`), clock).fetchModels(signal);
  await expect(lost).rejects.toMatchObject({
    code: 'server-lost',
    message: `no answer from http://127.0.0.1:${gone}: ECONNREFUSED`,
  });
  expect(clock.pendingTimers).toBe(0);
});

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await new Promise((resolve) => other.close(resolve));
  return port;
}

/** Resolves once the next timer is set. */
function timerRestarted(): Promise<void> {
  const { setTimer } = clock;
  return new Promise((resolve) => {
    clock.setTimer = (task, delayMs) => {
      clock.setTimer = setTimer;
      resolve();
      return setTimer.call(clock, task, delayMs);
    };
  });
}
