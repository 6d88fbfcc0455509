import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { guardRequests, type RequestGate } from '../../../signal-server/gate/request-gate.ts';
import { parseConfig, type ConfigInput } from '../../../signal-server/machine/config.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const STRANGER = '127.0.0.66';

describe('before a request is read', () => {
  let server: Server;
  const agents: Agent[] = [];
  let gate: RequestGate;
  afterEach(() => {
    gate.close();
    for (const agent of agents.splice(0)) agent.destroy();
    server.closeAllConnections();
    server.close();
  });

  async function stand(config: ConfigInput = {}) {
    const clock = new FakeClock();
    const seen: string[] = [];
    const told: string[] = [];
    server = createServer();
    const onRefused = ({ advice }: { advice: string | null }) => told.push(advice ?? '');
    gate = guardRequests(server, { clock, config: parseConfig(config), onRefused }, ({ url }, response) => {
      seen.push(url!);
      response.end('taken');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const clientAt = (localAddress: string) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress });
      agents.push(agent);
      return agent;
    };
    /** The status, or why there was none. */
    const ask = (agent: Agent, headers: Record<string, string> = {}, path = '/'): Promise<Answer | string> =>
      new Promise((resolve) => {
        const asked = request({ port, host: '127.0.0.1', agent, path, headers }, (response) => {
          void readAll(response).then((body) => resolve({ response, body }));
        });
        asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'failed'));
        asked.end();
      });
    return { clock, seen, told, clientAt, ask };
  }

  /** A connection takes one, and each request one. */
  const few = { requests: { perSecond: 1, burst: 3 }, refusedRequests: { perSecond: 0.1, burst: 2 } };

  it('an address that asks too often is told so in words, and nothing more is made of what it asks', async () => {
    const { seen, told, clientAt, ask } = await stand({ limits: few });
    const [stranger, neighbour] = [clientAt(STRANGER), clientAt('127.0.0.67')];
    const statuses = [await ask(stranger), await ask(stranger), await ask(stranger)].map(statusOf);
    expect(statuses).toEqual([200, 200, 429]);
    const refused = (await ask(stranger, {}, '/v1/models')) as Answer;
    expect(refused.response.headers).toMatchObject({ 'retry-after': '5', 'access-control-allow-origin': '*' });
    expect(JSON.parse(refused.body)).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(seen).toEqual(['/', '/']);
    expect(told).toEqual([]);
    expect(statusOf(await ask(neighbour))).toBe(200);
  });

  it('one that goes on all the same is cut off, is not read for a while, and is then', async () => {
    const { clock, told, clientAt, ask } = await stand({ limits: few });
    const stranger = clientAt(STRANGER);
    for (let i = 0; i < 4; i++) await ask(stranger);
    expect(await ask(stranger)).toBe('ECONNRESET');
    expect(told).toEqual([expect.stringMatching(/limits\.requests/)]);
    let isAnswered = false;
    const waiting = ask(clientAt(STRANGER)).then((answer) => {
      isAnswered = true;
      return answer;
    });
    await clock.advance(4_900);
    expect(statusOf(await ask(clientAt('127.0.0.67')))).toBe(200);
    expect(isAnswered).toBe(false);
    await clock.advance(100);
    expect(statusOf(await waiting)).toBe(200);
  });

  it('what it asks while it is shut out counts, so that it comes back to nothing', async () => {
    const { clock, clientAt, ask } = await stand({ limits: few });
    const stranger = clientAt(STRANGER);
    for (let i = 0; i < 5; i++) await ask(stranger);
    await clock.advance(4_900);
    const waiting = Array.from({ length: 5 }, () => ask(clientAt(STRANGER)));
    // Connections are taken in the order in which they come.
    await ask(clientAt('127.0.0.67'));
    await clock.advance(100);
    expect((await Promise.all(waiting)).map(statusOf)).not.toContain(200);
  });

  it('behind a trusted proxy its address is the forwarded one, and connections are the proxy’s', async () => {
    const { clientAt, ask } = await stand({ limits: few, trustProxy: true });
    const proxy = clientAt(STRANGER);
    const from = async (address: string) => statusOf(await ask(proxy, { 'x-forwarded-for': address }));
    const statuses: unknown[] = [];
    for (let i = 0; i < 8; i++) statuses.push(await from('2001:db8:1:2::1'));
    expect(statuses).toEqual([200, 200, 200, 429, 429, 429, 429, 429]);
    expect(await from('2001:db8:1:2:ffff::2')).toBe(429);
    expect(await from('2001:db8:1:3::1')).toBe(200);
  });

  it('an address has so many connections and no more, until it closes one', async () => {
    const { clientAt, ask } = await stand({ limits: { tcpConnectionsPerAddress: 2 } });
    const [first, second] = [clientAt(STRANGER), clientAt(STRANGER)];
    expect([statusOf(await ask(first)), statusOf(await ask(second))]).toEqual([200, 200]);
    expect(await ask(clientAt(STRANGER))).toBe('ECONNRESET');
    const closed = once(first, 'free');
    await ask(first);
    await closed;
    const gone = new Promise((resolve) => {
      server.getConnections((_error, before) => {
        const look = () => server.getConnections((_failed, now) => (now < before ? resolve(now) : setImmediate(look)));
        first.destroy();
        look();
      });
    });
    await gone;
    expect(statusOf(await ask(clientAt(STRANGER)))).toBe(200);
  });

  it('thirty people behind one address who all open the page and load weights at once do not meet it', async () => {
    const { clock, clientAt } = await stand();
    agents.push(clientAt(STRANGER));
    const verdicts: unknown[] = [];
    const askOf = () => {
      const response = { writeHead: (status: number) => verdicts.push(status), end: () => undefined };
      server.emit('request', { headers: {}, url: '/', socket: { remoteAddress: '192.0.2.1' } }, response);
    };
    // As measured: a page and the default model take 44 requests, on six connections.
    for (let i = 0; i < 30 * (44 + 6); i++) askOf();
    for (let second = 0; second < 60; second++) {
      // The state of the network every two seconds, and pieces as fast as an address is given bytes.
      for (let i = 0; i < 15 + 32; i++) askOf();
      await clock.advance(1_000);
    }
    expect(verdicts).not.toContain(429);
  });
});

interface Answer {
  readonly response: IncomingMessage;
  readonly body: string;
}

const statusOf = (answer: Answer | string): number | string | undefined =>
  typeof answer === 'string' ? answer : answer.response.statusCode;

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
