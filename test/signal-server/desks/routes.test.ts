import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64 } from '#shared/bytes.ts';
import { openEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { coversModel } from '#shared/model/stage.ts';
import { openSeat } from '#shared/route/open-signed.ts';
import { ROUTE_PAYLOAD_TYPE, routeSchema, type Route } from '#shared/route/route.ts';
import { seatsOf } from '#shared/route/seat.ts';
import { connectPeer, connectVolunteer, offerOf, routeRequest, type ProvenPeer } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { startTestServer, STORE_KINDS, type TestServer } from '../../support/signal-server.ts';
import { smallManifest } from '../../support/small-manifest.ts';

describe.each(STORE_KINDS)('routes over real sockets, with a store in %s', (store) => {
  let server: TestServer;
  let model: Digest;
  let requester: ProvenPeer;

  beforeEach(async () => {
    server = await startTestServer({
      ...{ store, manifests: [smallManifest()] },
      config: { limits: { queueLength: 2 }, times: { rebalanceMs: 50, resumeMs: 100 } },
    });
    model = server.digests[0]!;
    requester = await connectPeer(server.url);
  });
  afterEach(() => server.stop());

  async function routed(peer: ProvenPeer, request: number): Promise<Route> {
    const message = await peer.take('routed');
    expect(message.request).toBe(request);
    return readRoute(message.route);
  }

  async function readRoute(envelope: Envelope): Promise<Route> {
    const key = server.dataFolder.serverIdentity.publicKey;
    const payload = await openEnvelope(envelope, ROUTE_PAYLOAD_TYPE, key, verifySignature);
    return routeSchema.parse(JSON.parse(new TextDecoder().decode(payload)));
  }

  function release(peer: ProvenPeer, route: Route, overrides = {}): void {
    peer.send({
      type: 'release',
      session: route.session,
      outcome: 'done',
      tokens: 10,
      positions: 20,
      tokensPerSecond: 5,
      faults: [],
      stalled: [],
      checks: { checked: 0, settled: 0, unchecked: 0, disputed: 0 },
      ...overrides,
    });
  }

  it('are signed by the server and cover the model with different volunteers', async () => {
    const [a, b] = [await connectVolunteer(server.url), await connectVolunteer(server.url)];
    requester.send(routeRequest(model, { request: 7 }));
    const route = await routed(requester, 7);
    expect(
      coversModel(
        route.stages.map((stage) => stage.range),
        8,
      ),
    ).toBe(true);
    expect(new Set(route.stages.map((stage) => stage.primary.id))).toEqual(new Set([a.id, b.id]));
    expect(route).toMatchObject({ model, requester: { id: requester.id }, capacity: 128 });
    expect(route.notes.join()).toContain('address prefix');
  });

  it('are told to each volunteer as its own part and no more, and to the requester without these', async () => {
    const volunteers = [];
    for (let i = 0; i < 4; i++) volunteers.push(await connectVolunteer(server.url));
    const stranger = await connectPeer(server.url);
    requester.send(routeRequest(model, { policy: { shadows: 1, minStages: 1 } }));
    const seats = seatsOf(await routed(requester, 1));
    const authority = { serverKey: server.dataFolder.serverIdentity.publicKey, verify: verifySignature };
    for (const volunteer of volunteers) {
      const { seat } = await volunteer.take('seat');
      expect(await openSeat(seat, authority)).toEqual(seats.find((each) => each.volunteer === volunteer.id));
      await volunteer.heard();
      expect(volunteer.untaken.filter(({ type }) => type === 'seat')).toEqual([]);
    }
    for (const peer of [requester, stranger]) {
      await peer.heard();
      expect(peer.untaken.filter(({ type }) => type === 'seat')).toEqual([]);
    }
  });

  it('name shadows where volunteers are left', async () => {
    for (let i = 0; i < 4; i++) await connectVolunteer(server.url);
    requester.send(routeRequest(model, { policy: { shadows: 1, minStages: 1 } }));
    const { stages } = await routed(requester, 1);
    const ids = stages.flatMap((stage) => [stage.primary.id, ...stage.shadows.map((shadow) => shadow.id)]);
    expect(new Set(ids).size).toBe(4);
  });

  it('take the place of a session: who is left of it stays, its slots are free, and it counts no more', async () => {
    for (let i = 0; i < 6; i++) await connectVolunteer(server.url, { slots: 1 });
    const wish = { policy: { shadows: 1, minStages: 1 } };
    requester.send(routeRequest(model, wish));
    const first = await routed(requester, 1);
    const [left, ...later] = first.stages;
    const exclude = [left!.primary.id];
    requester.send(routeRequest(model, { ...wish, request: 2, after: first.session, exclude }));
    const second = await routed(requester, 2);
    const idsOf = ({ primary, shadows }: (typeof first.stages)[number]) => [primary.id, ...shadows.map(({ id }) => id)];
    expect(left!.shadows.map(({ id }) => id)).toContain(second.stages[0]!.primary.id);
    const holders = server.server.snapshot().volunteers.filter(({ range }) => range?.start === left!.range.start);
    if (holders.length > 2) expect(second.stages[0]!.shadows.length).toBeGreaterThan(0);
    // One of them may go on in the part of another, and now and then there is a shadow more.
    for (const [i, stage] of second.stages.slice(1).entries())
      for (const id of idsOf(stage).slice(0, 2)) expect(idsOf(later[i]!)).toContain(id);
  });

  it.each([
    ['of another requester', true, true],
    ['that it leaves nobody out of', false, false],
  ])('take the place of no session %s', async (_, isStranger, isLeavingOut) => {
    for (let i = 0; i < 4; i++) await connectVolunteer(server.url, { slots: 1 });
    const wish = { policy: { shadows: 1, minStages: 1 } };
    requester.send(routeRequest(model, wish));
    const { session, stages } = await routed(requester, 1);
    const asking = isStranger ? await connectPeer(server.url) : requester;
    const exclude = isLeavingOut ? [stages[0]!.primary.id] : [];
    asking.send(routeRequest(model, { ...wish, request: 2, after: session, exclude }));
    // Every slot is taken.
    expect((await asking.take('queued')).request).toBe(2);
  });

  it.each([
    ['an unknown model', { model: 'f'.repeat(64) as Digest }, 'unknown-model'],
    ['more positions than the model has', { capacity: 513 }, 'too-long'],
    ['a model that nobody holds', {}, 'no-coverage'],
  ])('are refused for %s', async (_title, fields, code) => {
    requester.send(routeRequest(model, fields));
    expect(await requester.take('refused')).toMatchObject({ request: 1, code });
  });

  it('are refused with the layers that are missing', async () => {
    const { assigned } = await connectVolunteer(server.url);
    requester.send(routeRequest(model));
    const missing = assigned.range.embedding ? { start: 4, end: 8 } : { start: 0, end: 4 };
    expect(await requester.take('refused')).toMatchObject({ code: 'no-coverage', missing });
  });

  it('are refused where the policy asks for more volunteers than there are', async () => {
    await Promise.all([connectVolunteer(server.url), connectVolunteer(server.url)]);
    requester.send(routeRequest(model, { policy: { shadows: 0, minStages: 3 } }));
    expect(await requester.take('refused')).toMatchObject({ code: 'too-few-volunteers' });
  });

  it('wait in line while all are busy, hear their position, and come in order', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model, { request: 1 }));
    const first = await routed(requester, 1);
    requester.send(routeRequest(model, { request: 2 }));
    requester.send(routeRequest(model, { request: 3 }));
    expect(await requester.take('queued')).toMatchObject({ request: 2, position: 1 });
    expect(await requester.take('queued')).toMatchObject({ request: 3, position: 2 });
    requester.send(routeRequest(model, { request: 4 }));
    expect(await requester.take('refused')).toMatchObject({ request: 4, code: 'all-busy' });
    release(requester, first);
    const second = await routed(requester, 2);
    expect(await requester.take('queued')).toMatchObject({ request: 3, position: 1 });
    release(requester, second);
    await routed(requester, 3);
  });

  it('are no longer waited for once abandoned', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model, { request: 1 }));
    const first = await routed(requester, 1);
    requester.send(routeRequest(model, { request: 2 }));
    requester.send(routeRequest(model, { request: 3 }));
    requester.send({ type: 'abandon', request: 2 });
    release(requester, first);
    await routed(requester, 3);
  });

  it('give their slots back when the requester leaves and does not come back', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    const leaving = await connectPeer(server.url);
    leaving.send(routeRequest(model));
    await routed(leaving, 1);
    requester.send(routeRequest(model));
    await requester.take('queued');
    await leaving.close();
    await routed(requester, 1);
  });

  it('wait for a stage that is still loading', async () => {
    await connectVolunteer(server.url);
    const loading = await connectPeer(server.url);
    loading.send(offerOf());
    const { assignment } = await loading.take('assign');
    requester.send(routeRequest(model));
    await requester.take('queued');
    loading.send({ type: 'ready', assignment, layerMs: 1, probeError: 0 });
    await routed(requester, 1);
  });

  it('are refused to those who wait when the last volunteer leaves', async () => {
    const a = await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model, { request: 1 }));
    await routed(requester, 1);
    requester.send(routeRequest(model, { request: 2 }));
    await requester.take('queued');
    await a.close();
    expect(await requester.take('refused')).toMatchObject({ request: 2, code: 'no-coverage' });
  });

  it('are not given back by anybody but their requester', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model));
    const route = await routed(requester, 1);
    const stranger = await connectPeer(server.url);
    release(stranger, route);
    stranger.send(routeRequest(model));
    expect(await stranger.take('queued')).toMatchObject({ position: 1 });
  });

  it('are recorded once: what passed each replica, faults for those blamed', async () => {
    const [a, b] = [await connectVolunteer(server.url), await connectVolunteer(server.url)];
    requester.send(routeRequest(model));
    const route = await routed(requester, 1);
    const faults = [{ volunteer: b.id, code: 'link-lost' }];
    release(requester, route, { outcome: 'failed', faults });
    release(requester, route, { outcome: 'failed', faults });
    requester.send(routeRequest(model, { request: 2 }));
    await routed(requester, 2);
    expect(server.store.history.volunteer(a.id)).toMatchObject({ sessions: 1, tokens: 20, faults: 0 });
    expect(server.store.history.volunteer(b.id)).toMatchObject({ sessions: 1, tokens: 20, faults: 1 });
    expect(server.store.history.totals).toMatchObject({ finished: 0, failed: 1, tokens: 10 });
  });

  it('never count more tokens than the session could hold', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model));
    release(requester, await routed(requester, 1), { tokens: 1e9 });
    requester.send(routeRequest(model, { request: 2 }));
    await routed(requester, 2);
    expect(server.store.history.totals.tokens).toBe(128);
  });

  it('count in the picture of the network while their sessions rest, and once when these end', async () => {
    await connectVolunteer(server.url, { slots: 4 });
    await connectVolunteer(server.url, { slots: 4 });
    requester.send(routeRequest(model));
    const route = await routed(requester, 1);
    const checks = { checked: 2, settled: 0, unchecked: 1, disputed: 0 };
    const figures = { tokens: 40, positions: 100, tokensPerSecond: 5, faults: [], stalled: [] };
    const tokensOf = () => server.server.snapshot().volunteers.map(({ tokens }) => tokens);
    requester.send({ type: 'rest', session: route.session, ...figures, checks });
    // Messages are taken in order.
    requester.send(routeRequest(model, { request: 2 }));
    await routed(requester, 2);
    expect(server.server.snapshot().checks).toEqual({ checked: 2, settled: 0, unchecked: 1, disputed: 0 });
    expect(tokensOf()).toEqual([100, 100]);
    expect(server.store.history.totals.checked).toBe(0);
    release(requester, route, { tokens: 80, positions: 150, checks: { ...checks, checked: 3 } });
    requester.send(routeRequest(model, { request: 3 }));
    await routed(requester, 3);
    expect(server.store.history.totals).toMatchObject({ tokens: 80, checked: 3, unchecked: 1 });
    expect(server.server.snapshot().checks).toEqual({ checked: 3, settled: 0, unchecked: 1, disputed: 0 });
    expect(tokensOf()).toEqual([150, 150]);
  });

  it('draw the speed of all answers from what answers came to, not from what volunteers ran for them', async () => {
    const clock = new FakeClock();
    await server.stop();
    server = await startTestServer({ store, manifests: [smallManifest()], clock });
    const volunteers = [await connectVolunteer(server.url), await connectVolunteer(server.url)];
    requester = await connectPeer(server.url);
    requester.send(routeRequest(model));
    const route = await routed(requester, 1);
    for (const tokens of [1_000, 2_000]) {
      for (const volunteer of volunteers) {
        volunteer.send({ type: 'heartbeat', sessions: 1, tokens, layerMs: 1, hidden: false });
        await volunteer.heard();
      }
      if (tokens === 2_000) release(requester, route, { tokens: 40, tokensPerSecond: 10 });
      await requester.heard();
      await clock.advance(5_000);
    }
    expect(server.server.snapshot().history).toMatchObject([{ volunteers: 2, tokensPerSecond: 4 }]);
  });

  it('avoid for one requester, and for no other, who failed it a moment ago', async () => {
    const [a, b] = [await connectVolunteer(server.url, { slots: 4 }), await connectVolunteer(server.url, { slots: 4 })];
    const spare = await connectVolunteer(server.url, { slots: 4 });
    const twin = [a, b].find((peer) => peer.assigned.range.start === spare.assigned.range.start)!;
    requester.send(routeRequest(model));
    const route = await routed(requester, 1);
    const used = route.stages.find((stage) => [twin.id, spare.id].includes(stage.primary.id))!.primary.id;
    release(requester, route, { outcome: 'failed', faults: [{ volunteer: used, code: 'link-lost' }] });
    for (let request = 2; request <= 9; request++) {
      requester.send(routeRequest(model, { request }));
      const again = await routed(requester, request);
      expect(again.stages.map((stage) => stage.primary.id)).not.toContain(used);
      release(requester, again);
    }
    // Either is drawn for another, so that the one which failed this requester comes sooner or later.
    const other = await connectPeer(server.url);
    const seen = new Set<PeerId>();
    for (let request = 1; request <= 40 && !seen.has(used); request++) {
      other.send(routeRequest(model, { request }));
      const drawn = await routed(other, request);
      drawn.stages.forEach((stage) => seen.add(stage.primary.id));
      release(other, drawn);
    }
    expect(seen).toContain(used);
  });

  it('leave out paused volunteers until they offer again', async () => {
    const a = await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    a.send({ type: 'pause' });
    a.send(routeRequest(model));
    expect(await a.take('refused')).toMatchObject({ code: 'no-coverage' });
    a.send(offerOf({ held: [{ model, range: a.assigned.range }] }));
    expect(await a.take('assign')).toMatchObject({ range: a.assigned.range, reason: 'you already have these layers' });
  });

  it('come back after a probe failed elsewhere, since the failed device gets no work', async () => {
    const wrong = await connectPeer(server.url);
    wrong.send(offerOf());
    const { assignment } = await wrong.take('assign');
    wrong.send({ type: 'failed', assignment, code: 'probe-failed', message: 'off by 12 %' });
    expect((await wrong.take('idle')).reason).toContain('computes differently');
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model));
    await routed(requester, 1);
  });

  it('are signed over what they say', async () => {
    await connectVolunteer(server.url);
    await connectVolunteer(server.url);
    requester.send(routeRequest(model));
    const { route } = await requester.take('routed');
    const payload = fromBase64(route.payload);
    payload[20]! ^= 1;
    const forged = { ...route, payload: Buffer.from(payload).toString('base64') };
    await expect(readRoute(forged)).rejects.toMatchObject({ code: 'bad-signature' });
  });
});
