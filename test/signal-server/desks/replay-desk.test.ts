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
    [anchors, fresh, suspended] = [new Set(), new Set(), new Set()];
    [messages, routes, refused, signFails] = [[], [], [], false];
    desk = new ReplayDesk({
      clock,
      random: systemRandom,
      registry,
      gateOf: () => 'open',
      leases,
      trust: {
        standing: (id) => ({
          checkedSpans: 0,
          isNew: fresh.has(id),
          suspendedUntilMs: suspended.has(id) ? clock.wallMs() + 1 : null,
        }),
      },
      models: () => [model],
      send: (_to, message) => messages.push(message),
      sign(route) {
        if (signFails) return Promise.reject(new Error('no key'));
        routes.push(route);
        return Promise.resolve({} as Envelope);
      },
      isAnchor: (id) => anchors.has(id),
      onRefused: (role) => refused.push(role),
      onError: () => undefined,
      times,
      limits,
    });
    volunteer(primary, left);
    volunteer(shadow, left);
    volunteer(last, right);
    me = registry.join(requester, 'cli', 'mine', 1);
    const { route } = leaseOf({ requester, model: model.digest, ranges, stages: [[primary, shadow], [last]] });
    leases.take(route, 'answer');
    session = route.session;
  });

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

  it('has no arbiter of the session itself, the requester, or whom it excludes', async () => {
    volunteer(idOf('4'), left);
    volunteer(requester, left);
    me = registry.get(requester)!;
    expect(await ask({ exclude: [idOf('4')] })).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('has no arbiter that is suspended', async () => {
    volunteer(idOf('4'), left);
    suspended.add(idOf('4'));
    expect(await ask()).toMatchObject({ type: 'refused', code: 'no-coverage' });
  });

  it('prefers an arbiter of another network than the primary, then one that is not new, then the idle', async () => {
    volunteer(idOf('4'), left, {}, `prefix of ${primary}`);
    volunteer(idOf('5'), left);
    volunteer(idOf('6'), left);
    volunteer(idOf('7'), left);
    fresh.add(idOf('5'));
    leases.take(leaseOf({ requester: idOf('e'), stages: [[idOf('6')]] }).route, 'answer');
    const chosen: PeerId[] = [];
    for (let i = 0; i < 4; i++) {
      await ask({ exclude: chosen });
      chosen.push(routes.at(-1)!.stages[0]!.primary.id);
    }
    expect(chosen).toEqual([idOf('7'), idOf('6'), idOf('5'), idOf('4')]);
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

    it('of no class where no party is of an exact one: then the idle comes first', async () => {
      volunteer(idOf('6'), left, { numericClass: runtime, slots: 4 });
      anchors.add(idOf('6'));
      leases.take(leaseOf({ requester: idOf('e'), stages: [[idOf('6')]] }).route, 'answer');
      const found = await chosen(gpu, gpu);
      expect([...found].sort()).toEqual([engine, runtime]);
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
