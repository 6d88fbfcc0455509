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
import type { RouteRequest } from '../../../signal-server/routing/route-queue.ts';
import { offerOf, routeRequest } from '../../support/control-peer.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1, true);
const { times, limits } = parseConfig({ limits: { routesPerRequester: 3 } });
const trusted = { witnessedSpans: 10, agreedSpans: 0, isNew: false, isLongTrusted: false, suspendedUntilMs: null };
const checks = { checked: 0, settled: 0, unchecked: 0, disputed: 0 };
const figures = {
  outcome: 'done' as const,
  tokens: 7,
  positions: 7,
  tokensPerSecond: 2,
  faults: [],
  stalled: [],
  checks,
};

describe('the route desk shares what there is', () => {
  let clock: FakeClock;
  let registry: Registry;
  let leases: Leases;
  let desk: RouteDesk;
  let deps: RouteDeskDeps;
  let requester: Member;
  let messages: ServerMessage[];
  let receivers: PeerAddress[];
  let routes: Route[];
  let finished: FinishedSession[];

  beforeEach(() => {
    [messages, receivers, routes, finished] = [[], [], [], []];
    clock = new FakeClock();
    registry = new Registry(clock);
    leases = new Leases(clock);
    deps = {
      ...{ clock, registry, leases, times, limits, random: systemRandom },
      ...{ gateOf: () => 'open', isGateway: () => false, planHidden: () => null, isAnchor: () => false },
      ...{ isStandIn: () => false, measuresSpeed: () => false, isFilling: () => false, models: () => [model] },
      trust: { standing: () => trusted },
      send(to, message) {
        messages.push(message);
        receivers.push(to);
      },
      sign(route) {
        routes.push(route);
        return Promise.resolve({ route: {} as Envelope, seats: [] });
      },
      onFinished: (session) => finished.push(session),
      ...{
        onAsked: () => undefined,
        isAsleep: () => false,
        draws: null,
        onRefused: () => undefined,
        onTokens: () => undefined,
        onError: () => undefined,
      },
    };
    desk = new RouteDesk(deps);
    for (const unit of [0, 1]) lend(String(unit), 1, unit);
    requester = join('f');
  });

  const replica = (digit: string): Member => registry.get(digit.repeat(64) as PeerId)!;
  const join = (digit: string, client?: string): Member =>
    registry.join(digit.repeat(64) as PeerId, 'cli', 'loopback', 1, client);
  const lend = (digit: string, slots: number, unit: number): void => {
    const volunteer = registry.offer(join(digit), offerOf({ slots }));
    const span = model.grid[unit]!;
    const { number } = registry.assign(volunteer, { model: model.digest, span });
    registry.ready(volunteer, { assignment: number, layerMs: 1 });
  };
  const toldTo = (member: Member): string[] =>
    messages.filter((_, i) => receivers[i]!.id === member.id).map((message) => message.type);

  it('has each request for a draw counted that is given up, or whose requester leaves, while it is looked at', async () => {
    const ended: string[] = [];
    let looked = (_reason: string | null): void => undefined;
    const draws: NonNullable<RouteDeskDeps['draws']> = {
      whyRefused: () => new Promise((resolve) => (looked = resolve)),
      ended: (_member, { request }, outcome) => void ended.push(`${request} ${outcome}`),
      draw: () => expect.unreachable('nothing is drawn'),
    };
    desk = new RouteDesk({ ...deps, draws });
    const draw = { number: 1 } as NonNullable<RouteRequest['draw']>;
    desk.receive(requester, routeRequest(model.digest, { request: 1, draw }));
    desk.receive(requester, { type: 'abandon', request: 1 });
    looked(null);
    await settle();
    desk.receive(requester, routeRequest(model.digest, { request: 2, draw }));
    registry.leave(requester.id);
    looked(null);
    await settle();
    expect([ended, messages]).toEqual([['1 abandoned', '2 abandoned'], []]);
  });

  it('refuses one requester more routes than its share', async () => {
    for (let request = 1; request <= 4; request++) desk.receive(requester, routeRequest(model.digest, { request }));
    await settle();
    expect(messages.filter((message) => message.type === 'refused')).toMatchObject([
      { request: 4, code: 'rate-limited' },
    ]);
  });

  it('lets nobody overtake who waits for the same model', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await settle();
    leases.end(routes[0]!.session);
    const late = registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback', 1);
    desk.receive(late, routeRequest(model.digest, { request: 9 }));
    await settle();
    expect(messages.filter((message) => message.type === 'routed')).toMatchObject([{ request: 1 }, { request: 2 }]);
  });

  it('takes a route back that nobody opens within the time of a connection, once another waits', async () => {
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const waiting = join('e');
    desk.receive(waiting, routeRequest(model.digest));
    await clock.advance(times.openMs - 1);
    desk.tick();
    expect(toldTo(waiting)).toEqual(['queued']);
    await clock.advance(1);
    desk.tick();
    await settle();
    expect(toldTo(waiting)).toEqual(['queued', 'routed']);
    expect(['0', '1'].map((digit) => toldTo(replica(digit)))).toEqual([['unseat'], ['unseat']]);
  });

  it('leaves a route alone that a replica of it says was opened, and believes nobody else of that', async () => {
    lend('8', 1, 0);
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const { session, stages } = routes[0]!;
    const spare = replica(stages[0]!.primary.id.startsWith('8') ? '0' : '8');
    const waiting = join('e');
    desk.receive(waiting, routeRequest(model.digest));
    desk.receive(spare, { type: 'opened', session });
    desk.receive(replica('1'), { type: 'opened', session });
    await clock.advance(times.openMs);
    desk.tick();
    expect(toldTo(waiting)).toEqual(['queued']);
    desk.receive(waiting, { type: 'abandon', request: routeRequest(model.digest).request });
    desk.receive(requester, { ...figures, type: 'release', session });
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await settle();
    desk.receive(requester, { type: 'opened', session: routes.at(-1)!.session });
    desk.receive(waiting, routeRequest(model.digest, { request: 3 }));
    await clock.advance(times.openMs);
    desk.tick();
    await settle();
    expect(toldTo(waiting).at(-1)).toBe('routed');
  });

  it('has a slot back as soon as its volunteer says that the session is over there, and ends one that all have left', async () => {
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const { session } = routes[0]!;
    for (const digit of ['0', '1']) desk.receive(replica(digit), { type: 'opened', session });
    desk.receive(replica('0'), { type: 'closed', session });
    desk.receive(replica('0'), { type: 'closed', session });
    expect(['0', '1'].map((digit) => leases.running(replica(digit).id))).toEqual([0, 1]);
    desk.receive(replica('1'), { type: 'closed', session });
    const waiting = join('e');
    desk.receive(waiting, routeRequest(model.digest));
    await settle();
    expect(toldTo(waiting)).toEqual(['routed']);
    expect(finished).toEqual([]);
    await clock.advance(times.resumeMs);
    desk.tick();
    expect(finished).toMatchObject([{ outcome: 'cancelled' }]);
    expect(['0', '1'].map((digit) => leases.running(replica(digit).id))).toEqual([1, 1]);
  });

  it('leaves half of the places to others than an address that opens nothing', async () => {
    for (const digit of ['4', '5']) lend(digit, 4, Number(digit) - 4);
    const keys = ['a', 'b', 'c'].map((digit) => join(digit, '192.0.2.1'));
    for (const key of keys) for (const request of [1, 2, 3]) desk.receive(key, routeRequest(model.digest, { request }));
    await settle();
    // Ten slots, two for each route.
    expect(messages.filter(({ type }) => type === 'routed')).toHaveLength(2);
    const honest = join('e', '192.0.2.2');
    desk.receive(honest, routeRequest(model.digest));
    await settle();
    expect(toldTo(honest).at(-1)).toBe('routed');
  });

  it('leaves a quarter of the places to others than an address that has opened all its sessions', async () => {
    for (const digit of ['4', '5']) lend(digit, 9, Number(digit) - 4);
    const key = join('a', '192.0.2.1');
    const keys = [key, ...['b', 'c', 'd'].map((digit) => join(digit, '192.0.2.1'))];
    for (const each of keys) {
      for (const request of [1, 2, 3]) {
        desk.receive(each, routeRequest(model.digest, { request }));
        await settle();
        for (const { primary } of routes.at(-1)!.stages)
          desk.receive(registry.get(primary.id)!, { type: 'opened', session: routes.at(-1)!.session });
      }
    }
    // Twenty slots, two for each route.
    expect(routes).toHaveLength(7);
    const honest = join('e', '192.0.2.2');
    desk.receive(honest, routeRequest(model.digest));
    await settle();
    expect(toldTo(honest).at(-1)).toBe('routed');
    expect(routes).toHaveLength(8);
  });

  it('gives a route that takes the place of another, whatever its address holds', async () => {
    lend('8', 1, 0);
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const [{ session, stages }] = routes as [Route];
    lend('9', 1, 1);
    const exclude = [stages[0]!.primary.id];
    desk.receive(requester, routeRequest(model.digest, { request: 2, exclude, after: session }));
    await settle();
    expect(toldTo(requester)).toEqual(['routed', 'routed']);
  });

  it('serves first, of those who wait, whose address has the fewest sessions', async () => {
    const [greedy, twin, modest] = [join('a', '192.0.2.1'), join('b', '192.0.2.1'), join('c', '192.0.2.2')];
    desk.receive(greedy, routeRequest(model.digest, { request: 1 }));
    await settle();
    const { session } = routes[0]!;
    desk.receive(replica('0'), { type: 'opened', session });
    desk.receive(twin, routeRequest(model.digest, { request: 2 }));
    desk.receive(modest, routeRequest(model.digest, { request: 3 }));
    expect(messages.at(-1)).toEqual({ type: 'queued', request: 2, position: 2 });
    desk.receive(greedy, { ...figures, type: 'release', session });
    await settle();
    // None has any now, and the first that came is served.
    expect([toldTo(twin).at(-1), toldTo(modest).at(-1)]).toEqual(['routed', 'queued']);
  });

  it('serves thirty people behind one address, one after the other as they open', async () => {
    const people = Array.from({ length: 30 }, (_, i) =>
      registry.join(`${(i + 16).toString(16)}${'7'.repeat(62)}` as PeerId, 'tab', 'loopback', 1, '192.0.2.1'),
    );
    for (const person of people) desk.receive(person, routeRequest(model.digest));
    for (let i = 0; i < people.length; i++) {
      await settle();
      const {
        session,
        requester: { id },
      } = routes[i]!;
      desk.receive(replica('0'), { type: 'opened', session });
      desk.receive(registry.get(id)!, { ...figures, type: 'release', session });
    }
    expect(people.map((person) => toldTo(person).at(-1))).toEqual(Array(30).fill('routed'));
  });

  it('makes room in a full queue for an address that has fewer waiting', async () => {
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    const keys = Array.from({ length: 22 }, (_, i) =>
      registry.join(`${(i + 16).toString(16)}${'7'.repeat(62)}` as PeerId, 'cli', 'loopback', 1, '192.0.2.1'),
    );
    for (const key of keys) for (const request of [1, 2, 3]) desk.receive(key, routeRequest(model.digest, { request }));
    expect(messages.filter(({ type }) => type === 'refused')).toHaveLength(2);
    const modest = join('e', '192.0.2.2');
    desk.receive(modest, routeRequest(model.digest));
    expect(toldTo(modest)).toEqual(['queued']);
    expect(desk.queued).toBe(limits.queueLength);
  });
});
