import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { Envelope, Route } from '#shared/session/route.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { parseConfig } from '../../signal-server/config.ts';
import { Leases } from '../../signal-server/leases.ts';
import { planModel } from '../../signal-server/planned-model.ts';
import { Registry, type Member } from '../../signal-server/registry.ts';
import { RouteDesk, type FinishedSession } from '../../signal-server/route-desk.ts';
import { systemRandom } from '../../signal-server/system-clock.ts';
import { offerOf, routeRequest } from '../support/control-peer.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { smallManifest } from '../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1);
const { times, limits } = parseConfig({ limits: { routesPerRequester: 3 } });

const trusted = { checkedSpans: 10, isNew: false, suspendedUntilMs: null };
const noChecks = { checked: 0, settled: 0, unchecked: 0, disputed: 0, agreed: [] };

describe('the route desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let leases: Leases;
  let desk: RouteDesk;
  let requester: Member;
  let messages: ServerMessage[];
  let routes: Route[];
  let finished: FinishedSession[];
  let signFails: boolean;
  let isFilling: boolean;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    leases = new Leases(clock);
    [messages, routes, finished, signFails, isFilling] = [[], [], [], false, false];
    desk = new RouteDesk({
      clock,
      random: systemRandom,
      registry,
      leases,
      trust: { standing: () => trusted },
      models: () => [model],
      send: (_to, message) => messages.push(message),
      sign(route) {
        if (signFails) return Promise.reject(new Error('no key'));
        routes.push(route);
        return Promise.resolve({} as Envelope);
      },
      isFilling: () => isFilling,
      onRefused: () => undefined,
      onFinished: (session) => finished.push(session),
      onError: () => undefined,
      times,
      limits,
    });
    for (const [i, span] of [model.grid[0]!, model.grid[1]!].entries()) {
      const volunteer = registry.offer(registry.join(String(i).repeat(64) as PeerId, 'tab', 'loopback'), offerOf());
      registry.ready(volunteer, registry.assign(volunteer, { model: model.digest, span }).number, 1);
    }
    requester = registry.join('f'.repeat(64) as PeerId, 'cli', 'loopback');
  });

  const types = (): string[] => messages.map((message) => message.type);

  it('serves who waits when the lease before it runs out, and records that one as failed', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    await clock.advance(times.leaseMs - 10_000);
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await clock.advance(10_000);
    desk.tick();
    await settle();
    expect(types()).toEqual(['routed', 'queued', 'routed']);
    expect(finished).toMatchObject([{ outcome: 'failed', tokens: 0 }]);
  });

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

  it('refuses who has waited too long', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await clock.advance(times.queueTimeoutMs);
    desk.tick();
    expect(messages.at(-1)).toMatchObject({ type: 'refused', request: 2, code: 'all-busy' });
    expect(desk.queued).toBe(0);
  });

  it('refuses one requester more routes than its share', async () => {
    for (let request = 1; request <= 4; request++) desk.receive(requester, routeRequest(model.digest, { request }));
    await settle();
    expect(messages.filter((message) => message.type === 'refused')).toMatchObject([
      { request: 4, code: 'rate-limited' },
    ]);
  });

  it('gives slots back and says so when a route cannot be signed', async () => {
    signFails = true;
    desk.receive(requester, routeRequest(model.digest));
    await settle();
    expect(messages).toMatchObject([{ type: 'refused', code: 'internal' }]);
    expect(leases.size).toBe(0);
  });

  it('lets nobody overtake who waits for the same model', async () => {
    desk.receive(requester, routeRequest(model.digest, { request: 1 }));
    desk.receive(requester, routeRequest(model.digest, { request: 2 }));
    await settle();
    leases.end(routes[0]!.session);
    const late = registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback');
    desk.receive(late, routeRequest(model.digest, { request: 9 }));
    await settle();
    expect(messages.filter((message) => message.type === 'routed')).toMatchObject([{ request: 1 }, { request: 2 }]);
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

  describe('keeps the session of a requester that lost its connection', () => {
    const [connected, waiting] = [1, 2].map((request) => routeRequest(model.digest, { request }));

    beforeEach(async () => {
      desk.receive(requester, connected!);
      await settle();
      desk.left(requester.id);
      desk.receive(registry.join('e'.repeat(64) as PeerId, 'cli', 'loopback'), waiting!);
    });

    it('until it releases it', async () => {
      desk.receive(requester, { type: 'resume', sessions: [routes[0]!.session] });
      await clock.advance(times.resumeMs);
      desk.tick();
      expect(types()).toEqual(['routed', 'queued']);
      const figures = { outcome: 'done' as const, tokens: 7, tokensPerSecond: 2, faults: [], checks: noChecks };
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

    it('and no longer than it may stay away', async () => {
      await clock.advance(times.resumeMs);
      desk.tick();
      await settle();
      expect(types()).toEqual(['routed', 'queued', 'routed']);
    });
  });
});
