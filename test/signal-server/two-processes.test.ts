import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fromBase64 } from '#shared/bytes.ts';
import { openEnvelope } from '#shared/crypto/dsse.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest } from '#shared/ids.ts';
import { ROUTE_PAYLOAD_TYPE, routeSchema, type Route } from '#shared/route/route.ts';
import { decodeRelayFrame, encodeRelayFrame } from '#shared/wire/codec/relay-frame.ts';
import { systemClock } from '../../signal-server/machine/system-clock.ts';
import { createPipedDesksEnd } from '../../signal-server/peer-router/piped-router.ts';
import {
  connectPeer,
  connectVolunteer,
  newIdentity,
  proofFor,
  RawPeer,
  routeRequest,
  type ProvenPeer,
} from '../support/control-peer.ts';
import { startEdgeProcess, type EdgeProcess } from '../support/edge-process.ts';
import { startTestServer, type TestServer } from '../support/signal-server.ts';
import { smallManifest } from '../support/small-manifest.ts';

/** Its sockets are in the process `edge`, its desks here, in `desks`. */
interface DividedServer {
  readonly edge: EdgeProcess;
  readonly desks: TestServer;
  readonly logged: string[];
  stop(): Promise<void>;
}

async function startDividedServer(): Promise<DividedServer> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-server-'));
  const logged: string[] = [];
  const edge = await startEdgeProcess(folder);
  const desks = await startTestServer({
    folder,
    manifests: [smallManifest()],
    config: { times: { rebalanceMs: 50, resumeMs: 100 } },
    router: createPipedDesksEnd(edge.stream, systemClock),
    onLog: (line) => logged.push(line),
  });
  return {
    ...{ edge, desks, logged },
    async stop() {
      await desks.stop();
      await edge.stop();
      await rm(folder, { recursive: true });
    },
  };
}

const present = ({ desks }: DividedServer): string[] => desks.server.snapshot().volunteers.map(({ id }) => id);

describe('a server with its sockets in one process and its desks in another', () => {
  let server: DividedServer;
  let model: Digest;
  const opened: RawPeer[] = [];

  beforeAll(async () => {
    server = await startDividedServer();
    model = server.desks.digests[0]!;
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((peer) => peer.close()));
    await expect.poll(() => server.desks.server.snapshot()).toMatchObject({ volunteers: [], sessions: { running: 0 } });
  });
  afterAll(() => server.stop());

  async function requester(identity?: Identity): Promise<ProvenPeer> {
    const peer = await connectPeer(server.edge.url, identity);
    opened.push(peer);
    return peer;
  }

  async function volunteers(slots = 1): Promise<ProvenPeer[]> {
    const both = [0, 1].map(() => connectVolunteer(server.edge.url, { slots }));
    for (const volunteer of both) opened.push(await volunteer);
    return Promise.all(both);
  }

  async function routed(peer: ProvenPeer, request: number): Promise<Route> {
    const message = await peer.take('routed');
    expect(message.request).toBe(request);
    const key = server.desks.dataFolder.serverIdentity.publicKey;
    const payload = await openEnvelope(message.route, ROUTE_PAYLOAD_TYPE, key, verifySignature);
    return routeSchema.parse(JSON.parse(new TextDecoder().decode(payload)));
  }

  function release(peer: ProvenPeer, { session }: Route): void {
    const checks = { checked: 0, settled: 0, unchecked: 0, disputed: 0 };
    peer.send({
      type: 'release',
      session,
      outcome: 'done',
      tokens: 10,
      positions: 10,
      tokensPerSecond: 5,
      faults: [],
      stalled: [],
      checks,
    });
  }

  it('proves the key by which its routes are signed', async () => {
    const peer = new RawPeer(server.edge.url);
    opened.push(peer);
    const { serverKey } = await peer.take('challenge');
    expect(fromBase64(serverKey)).toEqual(server.desks.dataFolder.serverIdentity.publicKey);
  });

  it('gives a requester a route over the volunteers, and puts the answer on record', async () => {
    const both = await volunteers();
    const peer = await requester();
    peer.send(routeRequest(model, { request: 7 }));
    const route = await routed(peer, 7);
    const ids = both.map(({ id }) => id);
    expect(new Set(route.stages.map(({ primary }) => primary.id))).toEqual(new Set(ids));
    expect(route.requester.id).toBe(peer.id);
    expect(new Set(present(server))).toEqual(new Set(ids));
    release(peer, route);
    await expect.poll(() => server.desks.store.history.volunteer(ids[0]!)).toMatchObject({ sessions: 1, tokens: 10 });
  });

  it('relays between peers where the sockets are', async () => {
    const [a, b] = [await requester(), await requester()];
    const piece = new Uint8Array([1, 2, 3]);
    a.socket.send(encodeRelayFrame({ peer: b.id, channel: 4, op: 'open' }));
    await b.takeFrame();
    a.socket.send(encodeRelayFrame({ peer: b.id, channel: 4, op: 'data', piece }));
    expect(decodeRelayFrame(await b.takeFrame())).toEqual({ peer: a.id, channel: 4, op: 'data', piece });
  });

  it('refuses who waits for a volunteer that leaves', async () => {
    const [leaving, staying] = (await volunteers()) as [ProvenPeer, ProvenPeer];
    const peer = await requester();
    peer.send(routeRequest(model, { request: 1 }));
    await routed(peer, 1);
    peer.send(routeRequest(model, { request: 2 }));
    await peer.take('queued');
    await leaving.close();
    expect(await peer.take('refused')).toMatchObject({ request: 2, code: 'no-coverage' });
    expect(present(server)).toEqual([staying.id]);
  });

  it('replaces the older of two connections of one key, which alone gets the answers to its requests', async () => {
    await volunteers(8);
    const identity = await newIdentity();
    const old = await requester(identity);
    const again = connectPeer(server.edge.url, identity);
    // Its answers are on their way for as long as the new connection comes to be.
    for (let request = 1; request <= 4; request++) old.send(routeRequest(model, { request }));
    const fresh = await again;
    opened.push(fresh);
    expect((await old.take('error')).code).toBe('replaced');
    fresh.send({ type: 'resume', sessions: [] });
    fresh.send(routeRequest(model, { request: 5 }));
    await routed(fresh, 5);
    expect(fresh.untaken.filter(({ type }) => type !== 'alive')).toEqual([]);
  });

  it('keeps nobody waiting in the line for a connection that was replaced', async () => {
    await volunteers();
    const [first, old] = [await requester(), await requester()];
    first.send(routeRequest(model, { request: 1 }));
    const route = await routed(first, 1);
    old.send(routeRequest(model, { request: 1 }));
    await old.take('queued');
    const fresh = await requester(old.identity);
    fresh.send(routeRequest(model, { request: 2 }));
    expect(await fresh.take('queued')).toMatchObject({ request: 2, position: 1 });
    release(first, route);
    await routed(fresh, 2);
    expect(fresh.untaken.filter(({ type }) => type !== 'alive')).toEqual([]);
  });

  it('loses nothing over answers to a peer that has gone', async () => {
    await volunteers();
    const gone = await requester();
    gone.send(routeRequest(model, { request: 1 }));
    gone.socket.terminate();
    const peer = await requester();
    peer.send(routeRequest(model, { request: 2 }));
    // The slots come back once the other may no longer come back itself.
    await routed(peer, 2);
    expect(server.logged.filter((line) => line.includes('unexpected failure'))).toEqual([]);
  });
});

describe('a server of two processes, one of which ends', () => {
  it('takes its volunteers for gone when the process of the sockets dies, and says so', async () => {
    const server = await startDividedServer();
    const volunteer = await connectVolunteer(server.edge.url);
    await expect.poll(() => present(server)).toEqual([volunteer.id]);
    await server.edge.kill();
    await expect.poll(() => present(server)).toEqual([]);
    expect(server.logged.join()).toContain('the other side of the server is lost');
    await server.stop();
  });

  it('sends its peers away when the desks close, and lets nobody in', async () => {
    const server = await startDividedServer();
    const volunteer = await connectVolunteer(server.edge.url);
    const stopped = server.desks.stop();
    expect(await volunteer.take('error')).toMatchObject({ code: 'server-lost' });
    expect(await volunteer.closed()).toBe(1008);
    const late = new RawPeer(server.edge.url);
    late.send((await proofFor(late, await newIdentity())).prove);
    expect(await late.take('error')).toMatchObject({ code: 'server-lost' });
    await stopped;
    await server.edge.stop();
  });
});
