import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import type { Claim } from '#shared/credit/claim.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import { PROBATION_CHUNKS } from '#shared/limits.ts';
import { routeSchema, type Route } from '#shared/route/route.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { networkSnapshotSchema } from '#shared/wire/network-snapshot.ts';
import { claimOf, digestFor, signedClaim, sketchesOf } from '../../support/claims.ts';
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
import { earnedStanding } from '../../support/earned-standing.ts';
import { startTestServer, STORE_KINDS, type TestServer } from '../../support/signal-server.ts';
import { smallManifest } from '../../support/small-manifest.ts';

type Claims = Extract<PeerControlMessage, { type: 'claims' }>;
type Release = Extract<PeerControlMessage, { type: 'release' }>;

describe.each(STORE_KINDS)('credit for work, over real sockets, with a store in %s', (store) => {
  let server: TestServer;
  let model: Digest;
  let requester: ProvenPeer;
  let gateway: Identity;
  let anchor: Identity;
  /** Every volunteer of the network, the anchor among them. */
  let identities: Map<PeerId, Identity>;

  beforeEach(async () => {
    [gateway, anchor] = [await newIdentity(), await newIdentity()];
    identities = new Map<PeerId, Identity>();
    server = await startTestServer({
      ...{ store, manifests: [smallManifest()] },
      config: { anchors: 1, times: { rebalanceMs: 50, resumeMs: 100, anchorsMs: 1 } },
      companions: {
        startAnchors: ({ enlist }) => {
          enlist(anchor.id, 'anchor');
          enlist(gateway.id, 'gateway');
          return Promise.resolve({ stop: () => Promise.resolve() });
        },
      },
    });
    model = server.digests[0]!;
    requester = await connectPeer(server.url);
  });
  afterEach(() => server.stop());

  async function join(identity: Identity): Promise<void> {
    const peer = new RawPeer(server.url);
    await once(peer.socket, 'open');
    peer.send((await proofFor(peer, identity)).prove);
    await peer.take('welcome');
    peer.send(offerOf({ slots: 8 }));
    const { assignment } = await peer.take('assign');
    peer.send({ type: 'ready', assignment, layerMs: 1, probeError: 0 });
    await peer.heard();
    identities.set(identity.id, identity);
  }

  /** Two stages with a replica each, then the anchor, then one more. */
  async function populate(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const { identity } = await connectVolunteer(server.url, { slots: 8 });
      identities.set(identity.id, identity);
    }
    await join(anchor);
    const { identity } = await connectVolunteer(server.url, { slots: 8 });
    identities.set(identity.id, identity);
  }

  async function routed(peer = requester, request = 1): Promise<Route> {
    peer.send(routeRequest(model, { request, policy: { shadows: 1, minStages: 2 } }));
    const { route } = await peer.take('routed');
    return routeSchema.parse(JSON.parse(new TextDecoder().decode(fromBase64(route.payload))));
  }

  const replicasOf = ({ stages }: Route, stage: number): PeerId[] => {
    const { primary, shadows } = stages[stage]!;
    return [primary, ...shadows].map(({ id }) => id);
  };
  /** The stage that has the anchor among its replicas, and the other replica there. */
  function placesOf(route: Route): { witnessed: number; unwitnessed: number; partner: PeerId } {
    const witnessed = route.stages.findIndex((_, stage) => replicasOf(route, stage).includes(anchor.id));
    const partner = replicasOf(route, witnessed).find((id) => id !== anchor.id)!;
    return { witnessed, unwitnessed: 1 - witnessed, partner };
  }

  async function claimsOf(
    route: Route,
    stage: number,
    change: (claim: Claim, replica: PeerId) => Claim = (claim) => claim,
  ): Promise<Claims> {
    const signed = replicasOf(route, stage).map((id) =>
      signedClaim(change(claimOf(route, stage, { id }), id), identities.get(id)!),
    );
    return { type: 'claims', session: route.session, stage, claims: await Promise.all(signed) };
  }

  const release = (peer: ProvenPeer, { session }: Pick<Route, 'session'>, change: Partial<Release> = {}): void =>
    peer.send({
      ...{
        type: 'release',
        session,
        outcome: 'done',
        tokens: 40,
        positions: 40,
        tokensPerSecond: 5,
        faults: [],
        stalled: [],
      },
      checks: { checked: 10, settled: 0, unchecked: 0, disputed: 0 },
      ...change,
    });
  const trustOf = (id: PeerId) => {
    const [of] = networkSnapshotSchema.parse(server.server.snapshot()).volunteers.filter((each) => each.id === id);
    const { witnessedSpans, agreedSpans, isNew } = earnedStanding(server.store.trust, id, of!.numericClass);
    const { suspendedUntilMs } = of!.trust;
    return { witnessedSpans, agreedSpans, isNew: isNew && id !== anchor.id, suspendedUntilMs };
  };
  const spansOf = (id: PeerId): number[] => [trustOf(id).witnessedSpans, trustOf(id).agreedSpans];
  /** Claims that the server has judged, by what they brought. */
  async function judged(): Promise<Record<string, number>> {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const lines = [...text.matchAll(/^chorus_claims_total\{outcome="(\w+)"\} (\d+)$/gm)];
    return Object.fromEntries(lines.map(([, outcome, count]) => [outcome!, Number(count)] as const));
  }
  const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((all, each) => all + each, 0);

  it('comes to who computed what an anchor did, and counts with others as agreed', async () => {
    await populate();
    const route = await routed();
    const { witnessed, unwitnessed, partner } = placesOf(route);
    for (const stage of [0, 1]) requester.send(await claimsOf(route, stage));
    release(requester, route);
    await expect.poll(judged).toEqual({ witnessed: 1, agreed: 3 });
    expect(trustOf(partner)).toMatchObject({ witnessedSpans: 2, agreedSpans: 0, isNew: true });
    for (const id of replicasOf(route, unwitnessed)) expect(spansOf(id)).toEqual([0, 2]);
    expect(trustOf(anchor.id)).toMatchObject({ witnessedSpans: 0, agreedSpans: 2, isNew: false });
    expect(replicasOf(route, witnessed)).toHaveLength(2);
  });

  it('comes whole from the server’s own gateway, and for half of the probation from everybody else', async () => {
    await populate();
    const others = await Promise.all([connectPeer(server.url), connectPeer(server.url)]);
    let request = 0;
    const bring = async (peer: ProvenPeer): Promise<PeerId> => {
      const route = await routed(peer, ++request);
      const { witnessed, partner } = placesOf(route);
      const before = sum(await judged());
      peer.send(await claimsOf(route, witnessed, (claim) => ({ ...claim, positions: 128 })));
      release(peer, route);
      await expect.poll(async () => sum(await judged())).toBe(before + 2);
      return partner;
    };
    let partner = await bring(others[0]);
    for (const peer of [...others, ...others]) partner = await bring(peer);
    expect(trustOf(partner)).toMatchObject({ witnessedSpans: PROBATION_CHUNKS / 2, isNew: true });
    const own = await connectPeer(server.url, gateway);
    for (let i = 0; i < 2; i++) expect(await bring(own)).toBe(partner);
    expect(trustOf(partner).isNew).toBe(false);
  });

  it('does not come with what a requester says, nor go with it', async () => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    requester.send(await claimsOf(route, witnessed));
    await expect.poll(async () => sum(await judged())).toBe(2);
    const before = [...identities.keys()].map(spansOf);
    const blamed = [...identities.keys()].map((volunteer) => ({ volunteer, code: 'timeout' as const }));
    release(requester, route, { outcome: 'failed', faults: blamed });
    for (let key = 0; key < 3; key++) {
      const fresh = await connectPeer(server.url);
      for (let request = 0; request < 2; request++) {
        release(fresh, await routed(fresh, request), { outcome: 'failed', faults: blamed });
      }
      await fresh.heard();
    }
    expect(spansOf(partner)).toEqual([2, 0]);
    expect([...identities.keys()].map(spansOf)).toEqual(before);
  });

  it('is not brought again by claims that come twice, or later for fewer positions', async () => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    const claims = await claimsOf(route, witnessed, (claim) => ({ ...claim, positions: 64 }));
    for (let i = 0; i < 5; i++) requester.send(claims);
    requester.send(await claimsOf(route, witnessed));
    await requester.heard();
    await expect.poll(judged).toEqual({ witnessed: 1, agreed: 1 });
    expect(spansOf(partner)).toEqual([2, 0]);
    // An answer more in the same session: what is new of it counts.
    requester.send(await claimsOf(route, witnessed, (claim) => ({ ...claim, from: 64, positions: 100 })));
    await expect.poll(judged).toEqual({ witnessed: 2, agreed: 2 });
    expect(spansOf(partner)).toEqual([4, 0]);
  });

  it('is not brought by a message that names one replica twice', async () => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    const { claims, ...message } = await claimsOf(route, witnessed);
    const own = claims[replicasOf(route, witnessed).indexOf(partner)]!;
    requester.send({ ...message, claims: [own, own] });
    await expect.poll(judged).toEqual({ void: 1 });
    expect(spansOf(partner)).toEqual([0, 0]);
  });

  it('is not brought by anybody but the requester of the session, nor after its end', async () => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    const claims = await claimsOf(route, witnessed);
    const stranger = await connectPeer(server.url);
    stranger.send(claims);
    await stranger.heard();
    release(requester, route);
    requester.send(claims);
    await requester.heard();
    requester.send({ ...claims, session: 'f'.repeat(32) as SessionId });
    await requester.heard();
    expect(await judged()).toEqual({});
    expect(spansOf(partner)).toEqual([0, 0]);
  });

  it('is not brought by claims of a session that was before', async () => {
    await populate();
    const first = await routed();
    const { witnessed, partner } = placesOf(first);
    const { claims } = await claimsOf(first, witnessed);
    release(requester, first);
    const second = await routed(requester, 2);
    const places = placesOf(second);
    expect(places).toEqual({ witnessed, unwitnessed: 1 - witnessed, partner });
    requester.send({ type: 'claims', session: second.session, stage: witnessed, claims });
    await requester.heard();
    expect(await judged()).toEqual({});
    requester.send(await claimsOf(second, witnessed));
    await expect.poll(() => spansOf(partner)).toEqual([2, 0]);
  });

  /** Of the volunteer beside the anchor; each is off in one thing, and signed with its right key. */
  const WRONG: readonly (readonly [string, (claim: Claim) => Claim])[] = [
    ['another session', (claim) => ({ ...claim, session: 'f'.repeat(32) as SessionId })],
    ['another stage', (claim) => ({ ...claim, stage: 1 - claim.stage })],
    ['another range', (claim) => ({ ...claim, range: { ...claim.range, end: claim.range.end ^ 1 } })],
    ['the other role', (claim) => ({ ...claim, role: claim.role === 'primary' ? 'shadow' : 'primary' })],
    ['the role of a replay', (claim) => ({ ...claim, role: 'replay' })],
    ['another model', (claim) => ({ ...claim, model: digestFor('model') as Digest })],
    ['another numeric class', (claim) => ({ ...claim, numericClass: digestOf(utf8('webgpu/other')) })],
    ['more positions than the session has room for', (claim) => ({ ...claim, positions: 129 })],
    ['fewer positions than the anchor’s', (claim) => ({ ...claim, positions: 39 })],
    ['another input', (claim) => ({ ...claim, input: digestFor('other') })],
    ['another output, and a sketch that is made up', (claim) => madeUp(claim, {})],
    ['another output, and the anchor’s sketch under another seed', (claim) => madeUp(claim, { seed: digestFor('x') })],
    ['another output, and no sketch', (claim) => madeUp(claim, { sketch: new Uint8Array() })],
    ['another output in runs that must give equal bits', (claim) => ({ ...claim, output: digestFor('other') })],
  ];
  const madeUp = (claim: Claim, change: Partial<Claim>): Claim => {
    const other = { ...claim, output: digestFor('other'), runs: digestFor('other') };
    return { ...other, ...('seed' in change ? {} : { sketch: sketchesOf(32, -1) }), ...change };
  };

  it.each(WRONG)('does not come with a claim of %s, and nobody is blamed for it', async (_, change) => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    requester.send(await claimsOf(route, witnessed, (claim, id) => (id === partner ? change(claim) : claim)));
    await expect.poll(async () => sum(await judged())).toBeGreaterThan(0);
    expect((await judged())['witnessed']).toBeUndefined();
    expect([spansOf(partner), spansOf(anchor.id)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(trustOf(partner).suspendedUntilMs).toBeNull();
  });

  it.each<[string, (claim: Claims['claims'][number], other: Claims['claims'][number]) => Claims['claims'][number]]>([
    ['a signature of another', (claim, other) => ({ ...claim, signature: other.signature })],
    ['the key of another', (claim, other) => ({ ...claim, publicKey: other.publicKey })],
    ['a bit that is changed after the signing', (claim) => ({ ...claim, claim: flipped(claim.claim) })],
    ['bytes that are no claim', (claim) => ({ ...claim, claim: 'AAAA' })],
    ['base64 that nobody writes', (claim) => ({ ...claim, claim: unwritten(claim.claim) })],
  ])('does not come with a claim that has %s', async (_, change) => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    const { claims, ...message } = await claimsOf(route, witnessed);
    const own = replicasOf(route, witnessed).indexOf(partner);
    const changed = claims.map((claim, i) => (i === own ? change(claim, claims[1 - own]!) : claim));
    requester.send({ ...message, claims: changed });
    await expect.poll(async () => sum(await judged())).toBeGreaterThan(0);
    expect((await judged())['witnessed']).toBeUndefined();
    expect(spansOf(partner)).toEqual([0, 0]);
  });

  /** The same bytes, with bits set that mean nothing. */
  function unwritten(claim: string): string {
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    const last = digits[digits.indexOf(claim.at(-2)!) | 1]!;
    expect([claim.at(-1), fromBase64(`${claim.slice(0, -2)}${last}=`)]).toEqual(['=', fromBase64(claim)]);
    return `${claim.slice(0, -2)}${last}=`;
  }

  function flipped(claim: string): string {
    const bytes = fromBase64(claim);
    bytes[bytes.length - 1]! ^= 1;
    return toBase64(bytes);
  }

  it('comes with sketches, where the bits of two may differ', async () => {
    await populate();
    const route = await routed();
    const { witnessed, partner } = placesOf(route);
    const near = (claim: Claim, id: PeerId): Claim =>
      id === partner
        ? { ...claim, output: digestFor('other'), runs: digestFor('other'), sketch: sketchesOf(32, 1 + 1e-7) }
        : claim;
    requester.send(await claimsOf(route, witnessed, near));
    await expect.poll(() => spansOf(partner)).toEqual([2, 0]);
  });

  it('closes no socket for a claim, however wrong, but for what no requester sends', async () => {
    await populate();
    const route = await routed();
    const message = await claimsOf(route, 0);
    requester.send({ ...message, claims: message.claims.map((claim) => ({ ...claim, claim: 'AAAA' })) });
    await requester.heard();
    requester.send({ ...message, claims: message.claims.slice(1) });
    await requester.closed();
    expect(requester.untaken.at(-1)).toMatchObject({ type: 'error', code: 'bad-message' });
  });
});
