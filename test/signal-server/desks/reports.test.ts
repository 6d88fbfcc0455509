import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64 } from '#shared/bytes.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { commitBytes } from '#shared/judge/statement-codec.ts';
import type { Commit, Signed } from '#shared/judge/statement.ts';
import type { Proof } from '#shared/proof/proof-schema.ts';
import { equivocationProof } from '#shared/proof/proof.ts';
import { routeSchema, type Route } from '#shared/route/route.ts';
import type { Offer } from '#shared/wire/control-message.ts';
import { networkSnapshotSchema } from '#shared/wire/network-snapshot.ts';
import {
  connectPeer,
  connectVolunteer,
  newIdentity,
  offerOf,
  proofFor,
  RawPeer,
  routeRequest,
  type ProvenPeer,
} from '../../support/control-peer.ts';
import { startTestServer, STORE_KINDS, type TestServer } from '../../support/signal-server.ts';
import { smallManifest } from '../../support/small-manifest.ts';

type Volunteer = Awaited<ReturnType<typeof connectVolunteer>>;

describe.each(STORE_KINDS)('a network that checks, over real sockets, with a store in %s', (store) => {
  let server: TestServer;
  let model: Digest;
  let requester: ProvenPeer;
  let anchorIdentity: Identity;

  beforeEach(async () => {
    anchorIdentity = await newIdentity();
    server = await startTestServer({
      ...{ store, manifests: [smallManifest()] },
      config: { anchors: 1, times: { rebalanceMs: 50, resumeMs: 100, anchorsMs: 1, shadowWaitMs: 100 } },
      companions: {
        startAnchors: ({ enlist }) => {
          enlist(anchorIdentity.id, 'anchor');
          return Promise.resolve({ stop: () => Promise.resolve() });
        },
      },
    });
    model = server.digests[0]!;
    requester = await connectPeer(server.url);
  });
  afterEach(() => server.stop());

  const volunteers = (count: number): Promise<Volunteer[]> =>
    Promise.all(Array.from({ length: count }, () => connectVolunteer(server.url, { slots: 4 })));

  async function routed(peer = requester, request = 1): Promise<{ route: Route; envelope: Envelope }> {
    peer.send(routeRequest(model, { request, policy: { shadows: 1, minStages: 2 } }));
    const { route: envelope } = await peer.take('routed');
    return { envelope, route: read(envelope) };
  }

  function read(envelope: Envelope): Route {
    return routeSchema.parse(JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload))));
  }

  /** Two commits of one replica for one span that say different things. */
  async function equivocation(route: Route, envelope: Envelope, { identity }: Volunteer): Promise<Proof> {
    const stage = route.stages.findIndex(({ primary, shadows }) =>
      [primary, ...shadows].some(({ id }) => id === identity.id),
    );
    const commits = await Promise.all([1, 2].map((value) => signedCommit(route, stage, value, identity)));
    return equivocationProof(envelope, commits[0]!, commits[1]!);
  }

  async function signedCommit(
    { session }: Route,
    stage: number,
    value: number,
    identity: Identity,
  ): Promise<Signed<Commit>> {
    const chain = new Uint8Array(32).fill(value);
    const chains = { inputFrom: chain, inputTo: chain, outputFrom: chain, outputTo: chain, shapes: chain };
    const statement = { session, opening: new Uint8Array(16), epoch: 0, index: 1, start: 0, end: 8, stage, ...chains };
    return {
      statement,
      publicKey: identity.publicKey,
      signature: new Uint8Array(await identity.sign(commitBytes(statement))),
    };
  }

  /** A volunteer that says it is an anchor. */
  async function claimAnchor(identity: Identity, held: Offer['held'] = []): Promise<Volunteer> {
    const peer = new RawPeer(server.url);
    await once(peer.socket, 'open');
    const { prove } = await proofFor(peer, identity);
    peer.send({ ...prove, kind: 'anchor' });
    const welcome = await peer.take('welcome');
    peer.send(offerOf({ slots: 4, held }));
    const assigned = await peer.take('assign');
    peer.send({ type: 'ready', assignment: assigned.assignment, layerMs: 1, probeError: 0 });
    return Object.assign(peer, { id: identity.id, identity, welcome, assigned });
  }

  function standingOf(id: PeerId) {
    return networkSnapshotSchema.parse(server.server.snapshot()).volunteers.find((volunteer) => volunteer.id === id)!;
  }

  function release(peer: ProvenPeer, route: Route): void {
    peer.send({
      type: 'release',
      session: route.session,
      outcome: 'done',
      tokens: 100,
      positions: 10,
      tokensPerSecond: 5,
      faults: [],
      stalled: [],
      checks: { checked: 3, settled: 1, unchecked: 0, disputed: 0 },
    });
  }

  it('suspends a key that is proven wrong: it is told, gets no work, and everybody sees it', async () => {
    const all = await volunteers(6);
    const { route, envelope } = await routed();
    const liar = all.find(({ id }) => id === route.stages[0]!.primary.id)!;
    requester.send({ type: 'report', request: 3, proof: await equivocation(route, envelope, liar) });
    expect(await requester.take('reported')).toMatchObject({ request: 3, accepted: true });
    expect((await liar.take('idle')).reason).toMatch(/^suspended until .* UTC after a proven fault: it signed two/);
    const snapshot = networkSnapshotSchema.parse(server.server.snapshot());
    const { range } = route.stages[0]!;
    expect(snapshot.faults).toMatchObject([
      { volunteer: liar.id, range, reason: expect.stringContaining('commits') as string },
    ]);
    expect(standingOf(liar.id)).toMatchObject({ state: 'idle', range: null, trust: { isNew: true } });
    expect(standingOf(liar.id).trust.suspendedUntilMs).toBeGreaterThan(Date.now());
    const again = await routed(requester, 2);
    expect(JSON.stringify(again.route.stages)).not.toContain(liar.id);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^chorus_reports_total\{accepted="true"\} 1$/m);
    expect(metrics).toMatch(/^chorus_volunteers_suspended 1$/m);
  });

  it('gives a suspended key no work when it connects again', async () => {
    const all = await volunteers(2);
    const { route, envelope } = await routed();
    const liar = all.find(({ id }) => id === route.stages[0]!.primary.id)!;
    requester.send({ type: 'report', request: 3, proof: await equivocation(route, envelope, liar) });
    await liar.take('idle');
    await liar.close();
    const back = await connectPeer(server.url, liar.identity);
    back.send(offerOf());
    expect((await back.take('idle')).reason).toContain('suspended');
  });

  it('lets go on what runs with a suspended key', async () => {
    const all = await volunteers(4);
    const { route, envelope } = await routed();
    const liar = all.find(({ id }) => id === route.stages[0]!.primary.id)!;
    requester.send({ type: 'report', request: 3, proof: await equivocation(route, envelope, liar) });
    await requester.take('reported');
    expect(server.server.snapshot().sessions.running).toBe(1);
    release(requester, route);
    await expect.poll(() => server.server.snapshot().sessions).toMatchObject({ running: 0, finished: 1 });
  });

  it('believes nobody: a proof that is off by one bit harms nobody but counts against its sender', async () => {
    const all = await volunteers(4);
    const { route, envelope } = await routed();
    const victim = all.find(({ id }) => id === route.stages[0]!.primary.id)!;
    const proof = (await equivocation(route, envelope, victim)) as Extract<Proof, { type: 'equivocation' }>;
    const signature = Buffer.from(proof.second.signature, 'base64');
    signature[3]! ^= 1;
    const forged = { ...proof, second: { ...proof.second, signature: signature.toString('base64') } };
    for (let request = 1; request <= 6; request++) requester.send({ type: 'report', request, proof: forged });
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await requester.take('reported'));
    expect(answers.every(({ accepted }) => !accepted)).toBe(true);
    expect(standingOf(victim.id)).toMatchObject({ state: 'ready', trust: { suspendedUntilMs: null } });
    requester.send({ type: 'report', request: 7, proof });
    expect(await requester.take('reported')).toMatchObject({
      accepted: false,
      reason: expect.stringContaining('hour') as string,
    });
    const honest = await connectPeer(server.url);
    honest.send({ type: 'report', request: 1, proof });
    expect(await honest.take('reported')).toMatchObject({ accepted: true });
  });

  it('closes the socket of who sends many large messages', async () => {
    const bulk = 'A'.repeat(300 * 1024);
    const flood = await connectPeer(server.url);
    const proof = await floodProof();
    for (let request = 0; request < 40; request++) flood.send({ type: 'report', request, proof });
    await flood.closed();
    expect(flood.untaken.at(-1)).toMatchObject({ type: 'error', code: 'rate-limited' });

    async function floodProof(): Promise<Proof> {
      const [one] = await volunteers(2);
      const peer = await connectPeer(server.url);
      const { route, envelope } = await routed(peer);
      const commit = await signedCommit(route, 0, 1, one!.identity);
      const { first } = equivocationProof(envelope, commit, commit);
      const accused = { commit: first, reveal: { ...first, input: '', output: '' } };
      return { type: 'sketch', route: envelope, side: 'output', accused, rows: bulk };
    }
  });

  it('counts spans as requesters report them, for people to see', async () => {
    await volunteers(2);
    for (const request of [1, 2]) release(requester, (await routed(requester, request)).route);
    await expect
      .poll(() => server.server.snapshot().checks)
      .toEqual({ checked: 6, settled: 2, unchecked: 0, disputed: 0 });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^chorus_chunks_total\{tier="settled"\} 2$/m);
  });

  it('gives a referee where one of its own anchors holds the stage, and to no stranger that says it is one', async () => {
    const [a, b] = await volunteers(2);
    const stranger = await claimAnchor(await newIdentity());
    await expect.poll(() => standingOf(stranger.id).state).toBe('ready');
    const { route } = await routed();
    const stage = route.stages.findIndex(({ range }) => range.start === stranger.assigned.range.start);
    const ask = (request: number): void =>
      requester.send({ type: 'replay', request, session: route.session, stage, role: 'referee', exclude: [] });
    ask(1);
    expect(await requester.take('refused')).toMatchObject({ request: 1, code: 'no-coverage' });
    expect(standingOf(stranger.id)).toMatchObject({ kind: 'cli', trust: { isNew: true } });
    await volunteers(1);
    const anchor = await claimAnchor(anchorIdentity, [{ model: route.model, range: stranger.assigned.range }]);
    expect(standingOf(anchor.id)).toMatchObject({ kind: 'anchor', trust: { isNew: false } });
    expect(anchor.assigned.range).toEqual(stranger.assigned.range);
    await expect.poll(() => standingOf(anchor.id).state).toBe('ready');
    ask(2);
    const replay = read((await requester.take('routed')).route);
    expect(replay).toMatchObject({ purpose: 'replay', stages: [{ primary: { id: anchor.id } }] });
    release(requester, replay);
    await expect
      .poll(async () => (await fetch(`${server.url}/metrics`)).text())
      .toMatch(/^chorus_replays_total\{role="referee",outcome="done"\} 1$/m);
    expect(server.server.snapshot().sessions).toMatchObject({ finished: 0, running: 1 });
    expect([a, b].every((one) => standingOf(one!.id).kind === 'cli')).toBe(true);
  });
});
