import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Offer } from '#shared/wire/control-message.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry, type RegisteredVolunteer } from '../../../signal-server/placement/registry.ts';
import {
  candidatesFor,
  type Candidate,
  type CandidateSources,
  type Gate,
} from '../../../signal-server/routing/candidate.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('e'.repeat(64) as Digest, smallManifest(), 1, true);
const large = { ...model, size: { hiddenSize: 60_000, layers: 8 } };

describe('a volunteer in the draw', () => {
  let registry: Registry;
  let sources: CandidateSources;
  let longTrusted: Set<PeerId>;
  let gate: Gate | null;

  beforeEach(() => {
    registry = new Registry(new FakeClock());
    longTrusted = new Set();
    gate = null;
    sources = {
      registry,
      leases: new Leases(new FakeClock()),
      trust: {
        standing: (id) => ({
          witnessedSpans: 0,
          agreedSpans: 0,
          isNew: false,
          isLongTrusted: longTrusted.has(id),
          suspendedUntilMs: null,
        }),
      },
      isAnchor: (id) => id === idOf('a') || id === idOf('b'),
      isStandIn: (id) => id === idOf('f'),
      gateOf: ({ volunteer }) => gate ?? (volunteer?.tried === null ? 'trial' : 'open'),
      measuresSpeed: () => true,
    };
  });

  function volunteer(digit: string, offer: Partial<Offer> = {}, findings: object = {}): RegisteredVolunteer {
    const one = registry.offer(registry.join(idOf(digit), 'tab', 'loopback', 1), offerOf(offer));
    const { number } = registry.assign(one, { model: model.digest, span: model.grid[0]! });
    registry.ready(one, { assignment: number, layerMs: 0.001 });
    return Object.assign(one, { measuredClass: true, ...findings });
  }

  const only = (some: Partial<CandidateSources> = {}, of = model): Candidate =>
    candidatesFor(of, () => false, { ...sources, ...some })[0]!;

  it('is as fast as the server’s own sessions found it, whatever it says of itself', () => {
    volunteer('1', { layerMs: 0.001 }, { tried: { atMs: 0, layerMs: 7 } });
    expect(only()).toMatchObject({ layerMs: 7, isTried: true });
    registry.heartbeat(registry.get(idOf('1'))!.volunteer!, {
      ...{ type: 'heartbeat', sessions: 0, tokens: 0, hidden: false },
      layerMs: 0.0001,
    });
    expect(only().layerMs).toBe(7);
  });

  it('counts as untried until then, and as fast as any other where the server measures nobody', () => {
    volunteer('1', { layerMs: 0.001 });
    expect(only()).toMatchObject({ isTried: false });
    volunteer('a', { layerMs: 0.001 });
    const all = candidatesFor(model, () => false, { ...sources, measuresSpeed: () => false, gateOf: () => 'open' });
    expect(all.map(({ layerMs, isTried }) => [layerMs, isTried])).toEqual([
      [5, true],
      [5, true],
    ]);
  });

  it('is nobody that exists for hidden sessions alone', () => {
    volunteer('f');
    expect(candidatesFor(model, () => false, sources)).toEqual([]);
    expect(only({ isStandIn: () => false })).toMatchObject({ id: idOf('f') });
  });

  it('is not drawn before it has passed, nor at all after it failed, and is what it says where nobody can try it', () => {
    volunteer('1', { numericClass: ENGINE_CLASS }, { measuredClass: false });
    gate = 'trial';
    expect(only()).toMatchObject({ isTried: false, isMeasured: false });
    gate = 'open';
    expect(only()).toMatchObject({ isTried: true, isMeasured: true });
    gate = 'closed';
    expect(candidatesFor(model, () => false, sources)).toEqual([]);
  });

  it('is an anchor of this server only by its key: that one is believed, steady and a network of its own', () => {
    volunteer('a', { numericClass: ENGINE_CLASS });
    volunteer('b', {}, { measuredClass: false });
    volunteer('1', {}, { tried: { atMs: 0, layerMs: 7 } });
    const [one, two, other] = candidatesFor(model, () => false, sources);
    for (const anchor of [one, two]) {
      expect(anchor).toMatchObject({ layerMs: 0.001, isTried: true, isSteady: true, isMeasured: true });
    }
    expect(new Set([one, two, other].map((each) => each!.prefix)).size).toBe(3);
    expect(other).toMatchObject({ prefix: 'loopback', isSteady: false });
  });

  it('is steady with a key that has been trusted for long', () => {
    volunteer('1');
    longTrusted.add(idOf('1'));
    expect(only()).toMatchObject({ isSteady: true });
  });

  it.each<[string, boolean, Partial<Offer>, object, typeof model]>([
    ['of an exact class', true, { numericClass: ENGINE_CLASS }, {}, model],
    ['of an exact class, on a model larger than any that was measured', true, { numericClass: 'wasm' }, {}, large],
    ['of a class with limits', true, { numericClass: 'webgpu/google/swiftshader' }, {}, model],
    ['of such a class, on a larger model', false, { numericClass: 'webgpu/google/swiftshader' }, {}, large],
    ['of a class that nobody knows', false, { numericClass: 'webgpu/apple/m9' }, {}, model],
    ['of another module of the engine', false, { numericClass: 'int16/ffffffffffffffff' }, {}, model],
    ['that was not found to be of its class', false, { numericClass: 'wasm' }, { measuredClass: false }, model],
  ])('is measured or not: one %s', (_title, isMeasured, offer, findings, of) => {
    volunteer('1', offer, findings);
    expect(only({}, of).isMeasured).toBe(isMeasured);
  });
});
