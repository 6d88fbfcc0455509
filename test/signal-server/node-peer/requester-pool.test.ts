import express from 'express';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { createRequesterPool, type RequesterPool } from '../../../signal-server/node-peer/requester-pool.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

describe('the pool of requesters', () => {
  let server: TestServer;
  let pool: RequesterPool;
  let enlisted: PeerId[];
  const open = async (): Promise<number> =>
    Number(/^chorus_sockets_open (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]);

  beforeEach(async () => {
    let ownToken = '';
    server = await startTestServer({
      config: { limits: { connectionsPerAddress: 1, connectionAttemptsPerMinute: 1 } },
      companions: {
        startGateway(context) {
          ({ ownToken } = context);
          return Promise.resolve({ router: express.Router(), stop: () => Promise.resolve() });
        },
      },
    });
    enlisted = [];
    pool = poolOf(ownToken);
  });
  afterEach(async () => {
    pool.stop();
    await server.stop();
  });

  const poolOf = (ownToken: string) =>
    createRequesterPool({
      serverUrl: new URL(server.url),
      ownToken,
      most: 3,
      enlist: (id) => enlisted.push(id),
    });

  it('gives every answer another key, known as the server’s own before it connects, whatever one address may do', async () => {
    const askers = [await pool.take(), await pool.take(), await pool.take()];
    const ids = askers.map(({ identity }) => identity.id);
    expect(new Set(ids).size).toBe(3);
    expect(enlisted).toEqual(expect.arrayContaining(ids));
    askers.forEach((asker) => asker.close());
    // One is connected for the next answer.
    await expect.poll(open).toBe(1);
  });

  it('has no more out at once than it may, and takes one back once', async () => {
    const [first] = [await pool.take(), await pool.take(), await pool.take()];
    await expect(pool.take()).rejects.toMatchObject({ code: 'all-busy' });
    first.close();
    first.close();
    (await pool.take()).close();
    await pool.take();
    await expect(pool.take()).rejects.toMatchObject({ code: 'all-busy' });
  });

  it('ends all its connections, also the one that waits', async () => {
    await pool.take();
    await expect.poll(open).toBe(2);
    pool.stop();
    await expect.poll(open).toBe(0);
    await expect(pool.take()).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('is a stranger like any other without the token of its server', async () => {
    const stranger = poolOf('guessed');
    // The spare connections of both pools; the next of the stranger's must not be the first to arrive.
    await expect.poll(open).toBe(2);
    await stranger.take();
    await expect(stranger.take()).rejects.toMatchObject({ code: 'rate-limited' });
    stranger.stop();
  });
});
