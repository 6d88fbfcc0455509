import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPipedDesksEnd, createPipedEdgeEnd } from '../../signal-server/peer-router/piped-router.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { describeRouter } from './router-contract.ts';

/** The two ends of a stream, over which processes could speak. */
async function openStreams(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const [{ port }, accepted] = [server.address() as { port: number }, once(server, 'connection') as Promise<[Socket]>];
  const [one, [other]] = [connect(port, '127.0.0.1'), await accepted];
  server.close();
  return [one, other];
}

describeRouter('over a stream', async (clock, maxWaiting) => {
  const [edge, desks] = await openStreams();
  return {
    edge: createPipedEdgeEnd(edge, clock, maxWaiting),
    desks: createPipedDesksEnd(desks, clock, maxWaiting),
    kill: (side) => void { edge, desks }[side].destroy(),
    async release() {
      const closed = [edge, desks].filter(({ closed }) => !closed).map((stream) => once(stream, 'close'));
      for (const stream of [edge, desks]) stream.destroy();
      await Promise.all(closed);
    },
  };
});

describe('a stream that brings what no router sends', () => {
  const id = 'a'.repeat(64);
  let streams: [Socket, Socket];

  beforeEach(async () => {
    streams = await openStreams();
  });
  afterEach(() => streams.forEach((stream) => stream.destroy()));

  const fromEdge: [string, string, RegExp][] = [
    ['no JSON', '{', /it sent a text that is not JSON$/],
    ['no message', JSON.stringify({ id, connection: 1 }), /it sent /],
    [
      'an id that is none',
      JSON.stringify({ id: '../x', connection: 1, message: { type: 'left' } }),
      /malformed text \(id: /,
    ],
    ['an unknown field', JSON.stringify({ id, connection: 1, more: 1, message: { type: 'left' } }), /it sent /],
    ['no number of a connection', JSON.stringify({ id, connection: 0, message: { type: 'left' } }), /\(connection: /],
    ['an unknown message', JSON.stringify({ id, connection: 1, message: { type: 'hello' } }), /it sent /],
    [
      'an unknown kind of peer',
      JSON.stringify({ id, connection: 1, message: { type: 'joined', kind: 'server', prefix: '', client: null } }),
      /it sent /,
    ],
    [
      'a proof',
      JSON.stringify({
        ...{ id, connection: 1 },
        message: { type: 'prove', protocol: 1, publicKey: '', signature: '', nonce: '', kind: 'tab' },
      }),
      /a message of type prove; these are for the edge alone$/,
    ],
  ];
  it.each(fromEdge)('is cut off by the desks: %s', async (_title, text, reason) => {
    const received: unknown[] = [];
    const ended = new Promise<Error>((resolve) =>
      createPipedDesksEnd(streams[0], new FakeClock()).receive((...message) => received.push(message), resolve),
    );
    streams[1].write(`${text}\n${JSON.stringify({ id, connection: 1, message: { type: 'pause' } })}\n`);
    expect(await ended).toMatchObject({ code: 'server-lost', message: expect.stringMatching(reason) as string });
    expect(received).toEqual([]);
  });

  const fromDesks: [string, object][] = [
    ['a welcome', { type: 'alive' }],
    ['a peer’s message', { type: 'pause' }],
    ['a reason that is too long', { type: 'idle', reason: 'x'.repeat(501) }],
  ];
  it.each(fromDesks)('is cut off by the edge: %s', async (_title, message) => {
    const ended = new Promise<Error>((resolve) =>
      createPipedEdgeEnd(streams[0], new FakeClock()).receive(() => undefined, resolve),
    );
    streams[1].write(`${JSON.stringify({ id, connection: 1, message })}\n`);
    expect(await ended).toMatchObject({ code: 'server-lost' });
  });

  it('is cut off for a line without an end', async () => {
    const ended = new Promise<Error>((resolve) =>
      createPipedDesksEnd(streams[0], new FakeClock()).receive(() => undefined, resolve),
    );
    streams[1].on('error', () => undefined);
    streams[1].write('x'.repeat(9 * 1024 * 1024));
    expect((await ended).message).toMatch(/a line without an end; at most 8388608 characters are taken$/);
  });

  it('is read across the borders of its pieces', async () => {
    const desks = createPipedDesksEnd(streams[0], new FakeClock());
    const types: string[] = [];
    desks.receive(
      (_from, { type }) => types.push(type),
      () => undefined,
    );
    const texts = [
      { id, connection: 1, message: { type: 'joined', kind: 'cli', prefix: '€', client: null } },
      { id, connection: 1, message: { type: 'pause' } },
    ];
    streams[1].setNoDelay(true);
    for (const byte of Buffer.from(texts.map((text) => `${JSON.stringify(text)}\n`).join(''))) {
      await new Promise((resolve) => streams[1].write(Uint8Array.of(byte), resolve));
    }
    await expect.poll(() => types).toEqual(['joined', 'pause']);
  });
});
