import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProxySigns } from '../../../signal-server/gate/proxy-signs.ts';
import { RefusalLog } from '../../../signal-server/gate/refusal-log.ts';
import { STOPPING, tooManyOpen } from '../../../signal-server/gate/socket-refusal.ts';
import { connectPeer as connectProgram } from '../../../signal-server/node-peer/node-connection.ts';
import { connectPeer, newIdentity, RawPeer } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

const like = (pattern: RegExp): unknown => expect.stringMatching(pattern);

describe('whoever gets no socket', () => {
  let server: TestServer;
  const logged: { readonly level: number; readonly msg?: string }[] = [];
  beforeAll(async () => {
    const limits = { connectionsPerAddress: 2, connectionAttemptsPerMinute: 5 };
    const onLog = (line: string) => void logged.push(JSON.parse(line) as (typeof logged)[number]);
    server = await startTestServer({ config: { limits }, onLog });
  });
  afterAll(() => server.stop());

  /** As a page asks why, whose browser does not tell it. */
  async function ask(headers: Record<string, string> = {}): Promise<{ status: number; code: string; message: string }> {
    const response = await fetch(`${server.url}/control`, { method: 'POST', headers, body: '' });
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return { status: response.status, ...error };
  }

  it('is told that the server is here where it would take one: then something between does not let it pass', async () => {
    expect(await ask()).toMatchObject({ status: 426, code: 'socket-refused', message: like(/proxy/) });
    expect(await ask({ origin: server.url })).toMatchObject({ status: 426 });
  });

  it('is told that its page is of another site, and the operator what to do if it is not', async () => {
    const asked = await ask({ origin: 'https://chorus.example' });
    expect(asked).toMatchObject({
      status: 403,
      code: 'socket-refused',
      message: like(/https:\/\/chorus\.example may not/),
    });
    const peer = new RawPeer(server.url, { origin: 'https://chorus.example' });
    await once(peer.socket, 'unexpected-response');
    peer.socket.terminate();
    expect(logged.at(-1)).toMatchObject({ level: 40, msg: like(/Host header .*--public-url/) });
  });

  it('is told that its address has too many, by whatever way it came, and the operator why that may be', async () => {
    const peers = [await connectPeer(server.url), await connectPeer(server.url)];
    expect(await ask()).toMatchObject({ status: 429, code: 'rate-limited', message: like(/too many connections/) });
    const { signal } = new AbortController();
    const program = { serverUrl: new URL(server.url), identity: await newIdentity(), kind: 'cli', signal } as const;
    await expect(connectProgram(program)).rejects.toMatchObject({
      code: 'rate-limited',
      message: like(/too many connections/),
    });
    expect(logged.at(-1)).toMatchObject({ level: 40, msg: like(/more than 2 connections at once.*--trust-proxy/) });
    await Promise.all(peers.map((peer) => peer.close()));
  });

  it('has not spent an attempt by asking', async () => {
    for (let i = 0; i < 10; i++) expect((await ask()).status).toBe(426);
    await (await connectPeer(server.url)).close();
  });

  it('is told that it tried too often', async () => {
    const tries = await Promise.allSettled(Array.from({ length: 6 }, () => connectPeer(server.url)));
    expect(tries.some(({ status }) => status === 'rejected')).toBe(true);
    expect(await ask()).toMatchObject({ status: 429, message: like(/in a minute/) });
    for (const each of tries) if (each.status === 'fulfilled') await each.value.close();
  });

  it('and comes through a proxy that is not trusted is one of many: the operator is told so, once', async () => {
    const before = logged.length;
    for (let i = 1; i < 4; i++) await ask({ 'x-forwarded-for': `198.51.100.${i}` });
    const warnings = logged.slice(before).filter(({ msg }) => msg?.includes('X-Forwarded-For'));
    expect(warnings).toMatchObject([{ level: 40, msg: like(/--trust-proxy/) }]);
  });
});

describe('signs of a proxy', () => {
  const seen = (trustProxy: boolean, headers: Record<string, string>) => {
    const said: string[] = [];
    const signs = new ProxySigns(trustProxy, (message) => said.push(message));
    signs.seeSocket({ headers });
    signs.seeSocket({ headers });
    return said.length;
  };

  it.each([
    ['no proxy where none is trusted', false, {}, 0],
    ['a proxy where none is trusted', false, { 'x-forwarded-for': '192.0.2.1' }, 1],
    ['a proxy that writes the standard header', false, { forwarded: 'for=192.0.2.1' }, 1],
    ['a proxy that is trusted', true, { 'x-forwarded-for': '192.0.2.1' }, 0],
    ['no proxy where one is trusted', true, {}, 1],
  ])('%s', (_title, trustProxy, headers, times) => {
    expect(seen(trustProxy, headers)).toBe(times);
  });
});

it('refusals of one kind are told at once, then seldom and with their count; what nobody can mend is not told', async () => {
  const clock = new FakeClock();
  const said: string[] = [];
  const log = new RefusalLog(clock, (message) => said.push(message));
  for (let i = 0; i < 3; i++) log.add(tooManyOpen(128));
  log.add(STOPPING);
  expect(said).toHaveLength(1);
  await clock.advance(10 * 60_000);
  log.add(tooManyOpen(128));
  expect(said).toHaveLength(2);
  expect(said[1]).toMatch(/\(and 2 times more/);
});
