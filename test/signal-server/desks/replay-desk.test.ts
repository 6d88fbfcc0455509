import { beforeEach, describe, expect, it } from 'vitest';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Route } from '#shared/route/route.ts';
import type { Offer, ServerMessage } from '#shared/wire/control-message.ts';
import { ReplayDesk, type ReplayRequest } from '../../../signal-server/desks/replay-desk.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { systemRandom } from '../../../signal-server/machine/system-clock.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import { rangeOf, type UnitSpan } from '../../../signal-server/placement/stage-grid.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('e'.repeat(64) as Digest, smallManifest(), 1, true);
const [left, right] = model.grid as [UnitSpan, UnitSpan];
const ranges = [left, right].map((span) => rangeOf(span, model.layers));
const { times, limits } = parseConfig({});
const [primary, shadow, last, requester] = [idOf('1'), idOf('2'), idOf('3'), idOf('f')];

describe('the replay desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let leases: Leases;
  let desk: ReplayDesk;
  let me: Member;
  let anchors: Set<PeerId>;
  let fresh: Set<PeerId>;
  let standIns: Set<PeerId>;
  let suspended: Set<PeerId>;
  let messages: ServerMessage[];
  let routes: Route[];
  let refused: string[];
  let session: SessionId;
  let signFails: boolean;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    leases = new Leases(clock);
    [anchors, fresh, standIns, suspended] = [new Set(), new Set(), new Set(), new Set()];
    [messages, routes, refused, signFails] = [[], [], [], false];
    open();
    volunteer(primary, left);
    volunteer(shadow, left);
    volunteer(last, right);
    me = registry.join(requester, 'cli', 'mine', 1);
    const route = routeOfSession();
    leases.take(route, 'answer', networks());
    session = route.session;
  });

  function routeOfSession(): Route {
    const { route } = leaseOf({ requester, model: model.digest, ranges, stages: [[primary, shadow], [last]] });
    return route;
  }

  const networks = () => new Map([primary, shadow, last].map((id) => [id, `prefix of ${id}`]));

  function open(): void {
    desk = new ReplayDesk({
      clock,
      random: systemRandom,
      registry,
      gateOf: () => 'open',
      leases,
      trust: {
        standing: (id) => ({
          ...{ witnessedSpans: 0, agreedSpans: 0, isLongTrusted: false },
          isNew: fresh.has(id),
          suspendedUntilMs: suspended.has(id) ? clock.wallMs() + 1 : null,
        }),
      },
      models: () => [model],
      send: (_to, message) => messages.push(message),
      sign(route) {
        if (signFails) return Promise.reject(new Error('no key'));
        routes.push(route);
        return Promise.resolve({ route: {} as Envelope, seats: [] });
      },
      isAnchor: (id) => anchors.has(id),
      isStandIn: (id) => standIns.has(id),
      measuresSpeed: () => false,
      onRefused: (role) => refused.push(role),
      onError: () => undefined,
      times,
      limits,
    });
  }

  function volunteer(id: PeerId, span: UnitSpan, offer: Partial<Offer> = {}, prefix = `prefix of ${id}`): void {
    const member = registry.join(id, 'tab', prefix, 1);
    const one = registry.offer(member, offerOf({ slots: 2, ...offer }));
    registry.ready(one, { assignment: registry.assign(one, { model: model.digest, span }).number, layerMs: 1 });
  }

  async function ask(overrides: Partial<ReplayRequest> = {}, from = me): Promise<ServerMessage> {
    desk.receive(from, { type: 'replay', request: 5, session, stage: 0, role: 'arbiter', exclude: [], ...overrides });
    await settle();
    return messages.at(-1)!;
  }

  it('gives an arbiter: a route of one stage that answers to the requester', async () => {
    volunteer(idOf('4'), left);
    expect(await ask()).toMatchObject({ type: 'routed', request: 5 });
    const [route] = routes;
    expect(route).toMatchObject({
      purpose: 'replay',
      model: model.digest,
      requester: { id: requester, webrtc: false },
      capacity: 128,
      stages: [{ range: ranges[0], primary: { id: idOf('4'), numericClass: 'wasm' }, shadows: [] }],
    });
    expect(route!.session).not.toBe(session);
    expect(route!.expiresAtMs - route!.issuedAtMs).toBe(2 * 60_000);
  });

  it('has a stand-in as a referee only in a session that it works in', async () => {
    const elsewhere = idOf('4');
    volunteer(elsewhere, left);
    for (const id of [shadow, elsewhere]) anchors.add(id);
    standIns.add(elsewhere);
    const referee = async () => {
      await ask({ role: 'referee' });
      return routes.at(-1)?.stages[0]!.primary.id;
    };
    anchors.delete(shadow);
    expect(await referee()).toBeUndefined();
    anchors.add(shadow);
    standIns.add(shadow);
    expect(await referee()).toBe(shadow);
  });

  it('takes a slot for it, until it is given back', async () => {
    volunteer(idOf('4'), left, { slots: 1 });
    await ask();
    expect(leases.running(idOf('4'))).toBe(1);
    expect(await ask()).toMatchObject({ type: 'refused', code: 'all-busy' });
    leases.end(routes[0]!.session);
    expect(await ask()).toMatchObject({ type: 'routed' });
  });

  it.each<[string, Partial<Offer>, UnitSpan]>([
    ['of another numeric class', { numericClass: 'webgpu/other', backend: 'webgpu' }, left],
    ['with another stage', {}, right],
    ['with a part of the stage', {}, model.grid.find(({ start, end }) => start === 0 && end < left.end)!],
  ])('has no arbiter %s', async (_title, offer, span) => {
    volunteer(idOf('4'), span, offer);
    expect(await ask()).toMatchObject({ type: 'refused', code: 'no-coverage' });
    expect(refused).toEqual(['arbiter']);
  });

  it('has no arbiter of the session itself, the requester, or one that the session had before and excludes', async () => {
    volunteer(idOf('4'), left);
    volunteer(requester, left);
    me = registry.get(requester)!;
    await ask();
    expect(routes[0]!.stages[0]!.primary.id).toBe(idOf('4'));
    expect(await ask({ exclude: [idOf('4')] })).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('has no arbiter that is suspended', async () => {
    volunteer(idOf('4'), left);
    suspended.add(idOf('4'));
    expect(await ask()).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  /** The arbiters of many requests, each given back, and how often. */
  async function arbiters(overrides: Partial<ReplayRequest> = {}): Promise<Record<string, number>> {
    const times: Record<string, number> = {};
    for (let i = 0; i < 100; i++) {
      await ask({ exclude: [primary, shadow], ...overrides });
      const { session: replay, stages } = routes.at(-1)!;
      const [digit] = stages[0]!.primary.id;
      times[digit!] = (times[digit!] ?? 0) + 1;
      leases.end(replay);
    }
    return times;
  }

  it('draws an arbiter at random, the idle no more often than the busy', async () => {
    for (const digit of ['4', '5', '6', '7']) volunteer(idOf(digit), left);
    leases.take(leaseOf({ requester: idOf('e'), stages: [[idOf('6')]] }).route, 'answer');
    const times = await arbiters();
    expect(Object.keys(times)).toEqual(['4', '5', '6', '7']);
    // 25 of 100 each; four deviations are 17.4.
    for (const count of Object.values(times)) expect(Math.abs(count - 25)).toBeLessThan(18);
  });

  it.each([
    ['the primary’s', primary],
    ['the shadow’s', shadow],
  ])('has no arbiter of %s network, though that one has left', async (_title, party) => {
    volunteer(idOf('4'), left, {}, `prefix of ${party}`);
    registry.leave(party);
    expect(await ask({ exclude: [primary, shadow] })).toMatchObject({ type: 'refused', code: 'no-coverage' });
    volunteer(idOf('5'), left);
    expect(await arbiters()).toEqual({ 5: 100 });
  });

  it('takes each anchor for a network of its own', async () => {
    volunteer(idOf('4'), left, {}, `prefix of ${primary}`);
    anchors.add(idOf('4'));
    expect(await arbiters()).toEqual({ 4: 100 });
  });

  it('lets the rule about networks rest where there is one only, and says so', async () => {
    registry = new Registry(clock);
    open();
    for (const id of [primary, shadow, idOf('4'), idOf('5')]) volunteer(id, left, {}, 'lan');
    const route = routeOfSession();
    leases.take(route, 'answer', new Map([primary, shadow].map((id) => [id, 'lan'])));
    ({ session } = route);
    expect(Object.keys(await arbiters())).toEqual(['4', '5']);
    expect(routes[0]!.notes).toEqual([expect.stringContaining('share one address prefix')]);
    volunteer(last, right);
    expect(await ask({ exclude: [primary, shadow] })).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('gives a new key as arbiter only where nobody else is free, and marks it in the route', async () => {
    for (const digit of ['4', '5']) volunteer(idOf(digit), left);
    fresh.add(idOf('5'));
    expect(await arbiters()).toEqual({ 4: 100 });
    expect(routes.at(-1)!.stages[0]!.primary).not.toHaveProperty('isUnproven');
    registry.leave(idOf('4'));
    expect(await arbiters()).toEqual({ 5: 100 });
    expect(routes.at(-1)!.stages[0]!.primary).toMatchObject({ isUnproven: true });
  });

  it('gives for a class that nobody measured an arbiter of an exact class, then of a measured one, and its like only then', async () => {
    const numericClass = 'webgpu/apple/m9';
    const { route } = leaseOf({ requester, model: model.digest, ranges, stages: [[primary, shadow], [last]] });
    const [stage, ...others] = route.stages;
    const invented = { ...stage!, primary: { ...stage!.primary, numericClass } };
    leases.take({ ...route, stages: [invented, ...others] }, 'answer', networks());
    ({ session } = route);
    volunteer(idOf('4'), left);
    volunteer(idOf('5'), left, { numericClass: 'webgpu/google/swiftshader', backend: 'webgpu' });
    volunteer(idOf('6'), left, { numericClass, backend: 'webgpu' });
    expect(await arbiters()).toEqual({ 4: 100 });
    registry.leave(idOf('4'));
    expect(await arbiters()).toEqual({ 5: 100 });
    registry.leave(idOf('5'));
    expect(await arbiters()).toEqual({ 6: 100 });
    expect(routes.at(-1)!.stages[0]!.primary).toMatchObject({ isUnproven: true });
  });

  it('lets a requester leave out the parties and the thirds before, and nobody else', async () => {
    for (const digit of ['4', '5']) volunteer(idOf(digit), left, { slots: 64 });
    // Each is a stranger to the session, so that leaving it out would choose the other.
    expect(Object.keys(await arbiters({ exclude: [idOf('4'), primary, shadow] }))).toEqual(['4', '5']);
    leases.end(session);
    const route = routeOfSession();
    leases.take(route, 'answer', networks());
    ({ session } = route);
    await ask({ exclude: [primary, shadow] });
    const one = routes.at(-1)!.stages[0]!.primary.id;
    expect(await arbiters({ exclude: [primary, shadow, one] })).toEqual({ [one === idOf('4') ? 5 : 4]: 100 });
  });

  it('gives as referee an anchor of this server of an exact class, and nobody else', async () => {
    volunteer(idOf('4'), left);
    volunteer(idOf('5'), left, { numericClass: 'webgpu/other', backend: 'webgpu' });
    anchors.add(idOf('5'));
    const refusal = await ask({ role: 'referee' });
    expect(refusal).toMatchObject({ type: 'refused', code: 'no-coverage' });
    expect(refusal).toMatchObject({ message: expect.stringContaining('no other anchor') as string });
    volunteer(idOf('7'), left, { numericClass: 'int16/ffffffffffffffff' });
    anchors.add(idOf('7'));
    expect(await ask({ role: 'referee' })).toMatchObject({ type: 'refused', code: 'no-coverage' });
    volunteer(idOf('6'), left);
    anchors.add(idOf('6'));
    await ask({ role: 'referee' });
    expect(routes[0]!.stages[0]!.primary.id).toBe(idOf('6'));
  });

  describe('prefers a referee', () => {
    const [engine, runtime, gpu] = [ENGINE_CLASS, 'wasm', 'webgpu/other'];
    const session = 'c'.repeat(32) as SessionId;

    /** The referees of a stage whose primary and shadows are of these classes, the first two of which differ, in the order given. */
    async function chosen(...classes: readonly string[]): Promise<string[]> {
      const parties = classes.map((numericClass, i) => ({ id: idOf('89ab'[i]!), webrtc: false, numericClass }));
      const [one, ...others] = parties;
      const { route } = leaseOf({ requester, model: model.digest, ranges, stages: [[one!.id], [last]] });
      const stages = [{ ...route.stages[0]!, primary: one!, shadows: others }, ...route.stages.slice(1)];
      leases.take({ ...route, session, stages }, 'answer');
      const exclude = parties.slice(0, 2).map(({ id }) => id);
      const found: string[] = [];
      for (let i = 0; i < 2; i++) {
        await ask({ role: 'referee', session, exclude });
        found.push(routes.at(-1)!.stages[0]!.primary.numericClass);
      }
      return found;
    }

    beforeEach(() => {
      anchors = new Set([idOf('4'), idOf('5')]);
      // The engine's anchor has the primary's network, which counts less than its class.
      volunteer(idOf('4'), left, { numericClass: engine, slots: 1 }, 'prefix of the engine');
      volunteer(idOf('5'), left, { numericClass: runtime, slots: 1 }, 'prefix of the runtime');
    });

    it.each([
      ['of the engine’s class where a party is of it', [engine, gpu], [engine, runtime]],
      ['of the engine’s class where the shadow is of it', [gpu, engine], [engine, runtime]],
      [
        'of the engine’s class before the runtime’s where there is a party of each',
        [runtime, engine],
        [engine, runtime],
      ],
      ['of the runtime’s class where a party is of it, and none of the engine’s', [gpu, runtime], [runtime, engine]],
      ['of a party’s class, not of a bystander’s', [runtime, gpu, engine], [runtime, engine]],
    ])('%s', async (_title, classes, expected) => {
      registry.join(idOf('8'), 'tab', 'prefix of the engine', 1);
      expect(await chosen(...classes)).toEqual(expected);
      leases.end(session);
    });

    it('of no class where no party is of an exact one: any may be drawn, the busy as well', async () => {
      volunteer(idOf('6'), left, { numericClass: runtime, slots: 4 });
      anchors.add(idOf('6'));
      leases.take(leaseOf({ requester: idOf('e'), stages: [[idOf('6')]] }).route, 'answer');
      await chosen(gpu, gpu);
      routes.forEach((route) => leases.end(route.session));
      const exclude = ['8', '9'].map(idOf);
      expect(Object.keys(await arbiters({ role: 'referee', session, exclude }))).toEqual(['4', '5', '6']);
    });
  });

  it('gives the stage’s own shadow as referee only where no other anchor is left, and never its primary', async () => {
    anchors = new Set([primary, shadow, idOf('4')]);
    volunteer(idOf('4'), left, { slots: 1 });
    await ask({ role: 'referee' });
    await ask({ role: 'referee' });
    expect(routes.map((route) => route.stages[0]!.primary.id)).toEqual([idOf('4'), shadow]);
    expect(await ask({ role: 'referee', exclude: [shadow, idOf('4')] })).toMatchObject({ code: 'no-coverage' });
  });

  it.each<[string, Partial<ReplayRequest>, string]>([
    ['a session that does not run', { session: '0'.repeat(32) as SessionId }, 'unknown-session'],
    ['a stage that the session has not', { stage: 2 }, 'bad-message'],
  ])('refuses %s', async (_title, fields, code) => {
    volunteer(idOf('4'), left);
    expect(await ask(fields)).toMatchObject({ type: 'refused', request: 5, code });
  });

  it('refuses a session of somebody else', async () => {
    volunteer(idOf('4'), left);
    const stranger = registry.join(idOf('d'), 'cli', 'elsewhere', 1);
    expect(await ask({}, stranger)).toMatchObject({ type: 'refused', code: 'unknown-session' });
  });

  it('refuses a replay of a replay', async () => {
    volunteer(idOf('4'), left);
    await ask();
    expect(await ask({ session: routes[0]!.session })).toMatchObject({ type: 'refused', code: 'unknown-session' });
  });

  it('refuses one requester more than four at once', async () => {
    volunteer(idOf('4'), left, { slots: 64 });
    for (let i = 0; i < 4; i++) expect(await ask()).toMatchObject({ type: 'routed' });
    expect(await ask()).toMatchObject({ type: 'refused', code: 'rate-limited' });
    leases.end(routes[0]!.session);
    expect(await ask()).toMatchObject({ type: 'routed' });
  });

  it('gives the slot back when the route cannot be signed', async () => {
    volunteer(idOf('4'), left);
    signFails = true;
    expect(await ask()).toMatchObject({ type: 'refused', code: 'internal' });
    expect(leases.running(idOf('4'))).toBe(0);
  });
});
