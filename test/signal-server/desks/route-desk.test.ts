import { beforeEach, describe, expect, it } from 'vitest';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { Route } from '#shared/route/route.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { RouteDesk, type RouteDeskDeps } from '../../../signal-server/desks/route-desk.ts';
import type { FinishedSession } from '../../../signal-server/desks/running-sessions.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { systemRandom } from '../../../signal-server/machine/system-clock.ts';
import type { PeerAddress } from '../../../signal-server/peer-router/control-router.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import type { Gate } from '../../../signal-server/routing/candidate.ts';
import type { Planned } from '../../../signal-server/routing/scheduler.ts';
import type { Standing } from '../../../signal-server/trust/trust.ts';
import { offerOf, routeRequest } from '../../support/control-peer.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1, true);
const { times, limits } = parseConfig({ limits: { routesPerRequester: 3 } });

const trusted: Standing = {
  ...{ witnessedSpans: 10, agreedSpans: 0 },
  ...{ isNew: false, isLongTrusted: false, suspendedUntilMs: null },
};
const noChecks = { checked: 0, settled: 0, unchecked: 0, disputed: 0 };

const figures = {
  outcome: 'done' as const,
  tokens: 7,
  positions: 7,
  tokensPerSecond: 2,
  faults: [],
  stalled: [],
  checks: noChecks,
};
const figuresOf = (count: number) => ({
  ...{ tokens: count, positions: count, tokensPerSecond: 2, faults: [], stalled: [] },
  checks: { ...noChecks, checked: count },
});

describe('the route desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let leases: Leases;
  let desk: RouteDesk;
  let requester: Member;
  let messages: ServerMessage[];
  let receivers: PeerAddress[];
  let routes: Route[];
  let finished: FinishedSession[];
  let told: number[];
  let signFails: boolean;
  let isFilling: boolean;
  let isAsleep: boolean;
  let standings: Map<PeerId, Standing>;
  let gates: Map<PeerId, Gate>;
  let gateways: Set<PeerId>;
  let hidden: Map<PeerId, Planned>;
  let asked: Digest[];

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    leases = new Leases(clock);
    [messages, routes, finished, told, signFails, isFilling, isAsleep] = [[], [], [], [], false, false, false];
    receivers = [];
    standings = new Map();
    gates = new Map();
    gateways = new Set();
    hidden = new Map();
    asked = [];
    desk = new RouteDesk(deskDeps());
    for (const [i, span] of [model.grid[0]!, model.grid[1]!].entries()) {
      const volunteer = registry.offer(registry.join(String(i).repeat(64) as PeerId, 'tab', 'loopback', 1), offerOf());
      registry.ready(volunteer, {
        assignment: registry.assign(volunteer, { model: model.digest, span }).number,
        layerMs: 1,
      });
    }
    requester = registry.join('f'.repeat(64) as PeerId, 'cli', 'loopback', 1);
  });

  function deskDeps(): RouteDeskDeps {
    return {
      clock,
      random: systemRandom,
      draws: null,
      registry,
      leases,
      gateOf: (member) => gates.get(member.id) ?? 'open',
      isGateway: (id) => gateways.has(id),
      planHidden: (asker) => hidden.get(asker) ?? null,
      trust: { standing: (id) => standings.get(id) ?? trusted },
      isAnchor: () => false,
      isStandIn: () => false,
      measuresSpeed: () => false,
      models: () => [model],
      send(to, message) {
        messages.push(message);
        receivers.push(to);
      },
      sign(route) {
        if (signFails) return Promise.reject(new Error('no key'));
        routes.push(route);
        return Promise.resolve({ route: {} as Envelope, seats: [] });
      },
      isFilling: () => isFilling,
      isAsleep: () => isAsleep,
      onAsked: (digest) => asked.push(digest),
      onRefused: () => undefined,
      onFinished: (session) => finished.push(session),
      onTokens: (_lease, tokens) => told.push(tokens),
      onError: () => undefined,
      times,
      limits,
    };
  }

  const replica = (digit: string): Member => registry.get(digit.repeat(64) as PeerId)!;
  const types = (): string[] => messages.map((message) => message.type);

  it('serves who waits when the lease before it runs out, and records that one as failed', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    await settle();
    desk.receive(replica('0'), { type: 'opened', session: routes[0]!.session });
    await clock.advance(times.leaseMs - 10_000);
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await clock.advance(10_000);
    desk.tick();
    await settle();
    expect(types()).toEqual(['routed', 'queued', 'routed']);
    expect(finished).toMatchObject([{ outcome: 'failed', tokens: 0 }]);
  });

  it('has a request wait for a volunteer that has not been tried yet, and goes on without one that failed', async () => {
    const untried = '0'.repeat(64) as PeerId;
    gates.set(untried, 'trial');
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    expect(types()).toEqual(['queued']);
    gates.set(untried, 'closed');
    desk.retry();
    await settle();
    expect(messages.at(-1)).toMatchObject({ type: 'refused', request: 1, code: 'no-coverage' });
    gates.delete(untried);
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await settle();
    expect(messages.at(-1)).toMatchObject({ type: 'routed', request: 2 });
  });

  it('asks a session back that only rests, for who waits, and once', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    await settle();
    const { session } = routes[0]!;
    const waiting = registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback', 1);
    desk.receive(waiting, routeRequest(model.digest, { request: 9 }));
    desk.tick();
    expect(types()).toEqual(['routed', 'queued']);

    desk.receive(requester, { type: 'rest', session, ...figuresOf(3) });
    desk.tick();
    desk.tick();
    expect(types()).toEqual(['routed', 'queued', 'reclaim']);
    expect([messages.at(-1), receivers.at(-1)]).toMatchObject([{ session }, { id: requester.id }]);

    desk.receive(requester, { ...figures, type: 'release', session });
    await settle();
    expect(messages.at(-1)).toMatchObject({ type: 'routed', request: 9 });
    expect(receivers.at(-1)).toMatchObject({ id: waiting.id });
  });

  it('asks for no more sessions than are waited for, and first for the one that has rested longest', async () => {
    const other = registry.join('d'.repeat(64) as PeerId, 'cli', 'loopback', 1);
    for (const id of ['8', '9']) {
      const volunteer = registry.offer(registry.join(id.repeat(64) as PeerId, 'tab', 'loopback', 1), offerOf());
      const span = model.grid[Number(id) - 8]!;
      registry.ready(volunteer, {
        assignment: registry.assign(volunteer, { model: model.digest, span }).number,
        layerMs: 1,
      });
    }
    for (const asker of [requester, other]) desk.receive(asker, routeRequest(model.digest));
    await settle();
    const [first, second] = routes.map((route) => route.session);
    desk.receive(other, { type: 'rest', session: second!, ...figuresOf(3) });
    desk.receive(requester, { type: 'rest', session: first!, ...figuresOf(3) });
    desk.receive(registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback', 1), routeRequest(model.digest));
    expect(messages.filter(({ type }) => type === 'reclaim')).toEqual([{ type: 'reclaim', session: second }]);
  });

  it('tells what its replicas have computed once an answer has ended, before its session does', async () => {
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const [{ session, stages }] = routes as [Route];
    const [primary] = stages.map((stage) => stage.primary.id);
    expect(desk.positionsOf(primary!)).toBe(0);
    desk.receive(requester, { type: 'rest', session, ...figuresOf(3), positions: 20 });
    expect([desk.positionsOf(primary!), desk.positionsOf(requester.id)]).toEqual([20, 0]);
    desk.receive(requester, { ...figures, type: 'release', session, positions: 31 });
    expect([desk.positionsOf(primary!), finished[0]?.positions]).toEqual([0, 31]);
  });

  it('never lets a hidden request wait in the line', () => {
    hidden.set(requester.id, { type: 'wait' });
    desk.receive(requester, routeRequest(model.digest));
    expect(messages).toMatchObject([{ type: 'refused', code: 'all-busy' }]);
    expect(desk.queued).toBe(0);
  });

  it.each(['failed', 'stalled in'] as const)(
    'remembers for all keys of the gateway which volunteer %s one of them',
    async (how) => {
      const twin = '8'.repeat(64) as PeerId;
      const volunteer = registry.offer(registry.join(twin, 'tab', 'loopback', 1), offerOf());
      registry.ready(volunteer, {
        assignment: registry.assign(volunteer, { model: model.digest, span: model.grid[0]! }).number,
        layerMs: 1,
      });
      const other = registry.join('e'.repeat(64) as PeerId, 'gateway', 'loopback', 1);
      gateways.add(requester.id).add(other.id);
      desk.receive(requester, routeRequest(model.digest, { request: 1 }));
      await settle();
      const first = routes[0]!.stages[0]!.primary.id;
      const told =
        how === 'failed' ? { faults: [{ volunteer: first, code: 'timeout' as const }] } : { stalled: [first] };
      desk.receive(requester, { ...figures, ...told, type: 'release', session: routes[0]!.session });
      const primariesFor = async (asker: Member): Promise<Set<PeerId>> => {
        const primaries = new Set<PeerId>();
        for (let request = 0; request < 64; request++) {
          desk.receive(asker, routeRequest(model.digest, { request }));
          await settle();
          primaries.add(routes.at(-1)!.stages[0]!.primary.id);
          desk.receive(asker, { ...figures, type: 'release', session: routes.at(-1)!.session });
        }
        return primaries;
      };
      const second = first === twin ? ('0'.repeat(64) as PeerId) : twin;
      expect([...(await primariesFor(other))]).toEqual([second]);
      expect(await primariesFor(registry.join('d'.repeat(64) as PeerId, 'cli', 'loopback', 1))).toContain(first);
    },
  );

  it('has a request wait for volunteers on their way, and refuses it once none are', async () => {
    registry.leave('0'.repeat(64) as PeerId);
    isFilling = true;
    desk.receive(requester, routeRequest(model.digest));
    expect(types()).toEqual(['queued']);
    isFilling = false;
    desk.tick();
    await settle();
    expect(messages.at(-1)).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('has a request wait for a model that volunteers of others could take up, and its asking wake it', async () => {
    registry.leave('0'.repeat(64) as PeerId);
    isAsleep = true;
    expect(desk.reasonNotServable(model)).toMatch(/work for other models/);
    desk.receive(requester, routeRequest(model.digest));
    expect([types(), asked]).toEqual([['queued'], [model.digest]]);
    isAsleep = false;
    desk.retry();
    await settle();
    expect(messages.at(-1)).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('refuses who has waited too long', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await clock.advance(times.queueTimeoutMs);
    desk.tick();
    expect(messages.at(-1)).toMatchObject({ type: 'refused', request: 2, code: 'all-busy' });
    expect(desk.queued).toBe(0);
  });

  it('gives slots back and says so when a route cannot be signed', async () => {
    signFails = true;
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    expect(messages).toMatchObject([{ type: 'refused', code: 'internal' }]);
    expect(leases.size).toBe(0);
  });

  it('answers the connection that asked, though another of the same key is there by then', async () => {
    desk.receive(requester, routeRequest(model.digest));
    registry.leave(requester.id);
    registry.join(requester.id, 'cli', 'loopback', 2);
    await settle();
    expect(types()).toEqual(['routed']);
    expect(receivers).toMatchObject([{ id: requester.id, connection: 1 }]);
  });

  it('writes routes that end with their lease and have ids of their own', async () => {
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    leases.end(routes[0]!.session);
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    expect(routes[0]!.expiresAtMs - routes[0]!.issuedAtMs).toBe(times.leaseMs);
    expect(routes[0]!.session).not.toBe(routes[1]!.session);
  });

  describe('with a request for shadows', () => {
    const checked = (request: number) => routeRequest(model.digest, { request, policy: { shadows: 1, minStages: 1 } });

    /** A second holder of the first stage (0) or the second (1). */
    function addTwin(stage: number, isReady = true): PeerId {
      const id = `${8 + stage}`.repeat(64) as PeerId;
      const volunteer = registry.offer(registry.join(id, 'tab', 'loopback', 1), offerOf());
      const { number } = registry.assign(volunteer, { model: model.digest, span: model.grid[stage]! });
      if (isReady) registry.ready(volunteer, { assignment: number, layerMs: 1 });
      return id;
    }

    it('waits for shadows that are busy, and gets them', async () => {
      const twins = [addTwin(0), addTwin(1)];
      desk.receive(requester, checked(1));
      await settle();
      expect(leases.running(twins[0]!)).toBe(1);
      desk.receive(requester, checked(2));
      desk.receive(requester, { ...figures, type: 'release', session: routes[0]!.session });
      await settle();
      expect(types()).toEqual(['routed', 'queued', 'routed']);
      expect(routes[1]!.stages.map((stage) => stage.shadows.length)).toEqual([1, 1]);
    });

    it('waits for shadows that are loading, for a time, and then goes without and is told', async () => {
      addTwin(0);
      addTwin(1, false);
      desk.receive(requester, checked(1));
      await clock.advance(times.shadowWaitMs - 1);
      desk.tick();
      await settle();
      expect(types()).toEqual(['queued']);
      await clock.advance(1);
      desk.tick();
      await settle();
      expect(types()).toEqual(['queued', 'routed']);
      expect(routes[0]!.stages.map((stage) => stage.shadows.length)).toEqual([1, 0]);
      expect(routes[0]!.notes.join()).toContain('stage 2 has no shadow');
    });

    it('waits for nobody where there is nobody to wait for', async () => {
      desk.receive(requester, checked(1));
      await settle();
      expect(types()).toEqual(['routed']);
      expect(routes[0]!.notes.join()).toContain('stage 1 has no shadow');
    });

    it('waits for anchors on their way, longer than for others', async () => {
      isFilling = true;
      desk.receive(requester, checked(1));
      await clock.advance(times.shadowWaitMs);
      desk.tick();
      await settle();
      expect(types()).toEqual(['queued']);
      addTwin(0);
      addTwin(1);
      desk.retry();
      await settle();
      expect(routes[0]!.stages.map((stage) => stage.shadows.length)).toEqual([1, 1]);
    });

    it('gets a route without shadows rather than none when the queue is full', async () => {
      addTwin(0, false);
      addTwin(1, false);
      const unchecked = new RouteDesk({ ...deskDeps(), limits: { ...limits, queueLength: 0 } });
      unchecked.receive(requester, checked(9));
      await settle();
      expect(messages.at(-1)).toMatchObject({ type: 'routed', request: 9 });
    });

    it('gives each replica a slot’s worth of work, and none to suspended keys', async () => {
      const twins = [addTwin(0), addTwin(1)];
      standings.set(twins[1]!, { ...trusted, suspendedUntilMs: clock.wallMs() + 1 });
      desk.receive(requester, checked(1));
      await settle();
      expect(routes[0]!.stages.map((stage) => stage.shadows.length)).toEqual([1, 0]);
      expect(leases.running(twins[0]!)).toBe(1);
      expect(leases.running(twins[1]!)).toBe(0);
    });

    it('passes on what the requester says of the checks', async () => {
      desk.receive(requester, checked(1));
      await settle();
      const checks = { checked: 2, settled: 0, unchecked: 1, disputed: 0 };
      desk.receive(requester, { ...figures, type: 'release', session: routes[0]!.session, checks });
      expect(finished).toMatchObject([{ checks }]);
    });
  });

  it('ends the session of a gateway’s key that is gone at once: it was for one answer', async () => {
    gateways.add(requester.id);
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    await settle();
    desk.left(requester.id);
    expect(finished).toMatchObject([{ outcome: 'cancelled' }]);
    desk.receive(
      registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback', 1),
      routeRequest(model.digest, { request: 2 }),
    );
    await settle();
    expect(types()).toEqual(['routed', 'routed']);
  });

  describe('keeps the session of a requester that lost its connection', () => {
    const [connected, waiting] = [1, 2].map((request) => routeRequest(model.digest, { request }));

    beforeEach(async () => {
      desk.receive(requester, connected!);
      await settle();
      desk.receive(replica('0'), { type: 'opened', session: routes[0]!.session });
      desk.left(requester.id);
      desk.receive(registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback', 1), waiting!);
    });

    it('until it releases it', async () => {
      desk.receive(requester, { type: 'resume', sessions: [routes[0]!.session] });
      await clock.advance(times.resumeMs);
      desk.tick();
      expect(types()).toEqual(['routed', 'queued']);
      desk.receive(requester, { type: 'release', session: routes[0]!.session, ...figures });
      await settle();
      expect(types()).toEqual(['routed', 'queued', 'routed']);
      expect(finished).toMatchObject([{ outcome: 'done', tokens: 7 }]);
    });

    it('but not when it comes back without it', async () => {
      desk.receive(requester, { type: 'resume', sessions: [] });
      await settle();
      expect(types()).toEqual(['routed', 'queued', 'routed']);
      expect(finished).toMatchObject([{ outcome: 'cancelled' }]);
    });

    it('and keeps the figures of its last whole answer where it does not come back', async () => {
      const rest = { ...figuresOf(3), type: 'rest', session: routes[0]!.session } as const;
      desk.receive(requester, rest);
      desk.receive(requester, { ...rest, ...figuresOf(9) });
      expect(desk.rested).toMatchObject([{ tokens: 9, checks: { checked: 9 } }]);
      await clock.advance(times.resumeMs);
      desk.tick();
      expect(finished).toMatchObject([{ outcome: 'done', tokens: 9, checks: { checked: 9 } }]);
      expect(desk.rested).toEqual([]);
    });

    it('and keeps whom it blamed, of those on the route', async () => {
      const [fault, other] = [routes[0]!.stages[0]!.primary.id, '9'.repeat(64) as PeerId].map((volunteer) => ({
        volunteer,
        code: 'timeout' as const,
      }));
      const faults = [fault!, other!, fault!];
      const stalled = faults.map(({ volunteer }) => volunteer);
      desk.receive(requester, { ...figuresOf(3), faults, stalled, type: 'rest', session: routes[0]!.session });
      await clock.advance(times.resumeMs);
      desk.tick();
      expect(finished).toMatchObject([{ outcome: 'done', faults: [fault], stalled: [fault!.volunteer] }]);
    });

    it('and takes its last word where it comes back to say it', () => {
      desk.receive(requester, { ...figuresOf(3), type: 'rest', session: routes[0]!.session });
      desk.receive(requester, { type: 'release', session: routes[0]!.session, ...figures });
      expect(finished).toMatchObject([{ outcome: 'done', tokens: 7 }]);
      expect(desk.rested).toEqual([]);
    });

    it('and tells of each token once, as the answers that they are of end', async () => {
      const rest = { ...figuresOf(3), type: 'rest', session: routes[0]!.session } as const;
      desk.receive(requester, rest);
      desk.receive(requester, { ...rest, ...figuresOf(5) });
      desk.receive(requester, { type: 'release', session: routes[0]!.session, ...figures });
      expect(told).toEqual([3, 2, 2]);
    });

    it('and puts its figures on record when the server stops', () => {
      desk.receive(requester, { ...figuresOf(3), type: 'rest', session: routes[0]!.session });
      desk.stop();
      expect(finished).toMatchObject([{ outcome: 'done', tokens: 3 }]);
      desk.stop();
      expect(finished).toHaveLength(1);
    });

    it('and takes no figures of it from another', () => {
      const other = registry.join('9'.repeat(64) as PeerId, 'cli', 'loopback', 1);
      desk.receive(other, { ...figuresOf(3), type: 'rest', session: routes[0]!.session });
      expect(desk.rested).toEqual([]);
    });

    it('and no longer than it may stay away', async () => {
      await clock.advance(times.resumeMs);
      desk.tick();
      await settle();
      expect(types()).toEqual(['routed', 'queued', 'routed']);
    });
  });
});
