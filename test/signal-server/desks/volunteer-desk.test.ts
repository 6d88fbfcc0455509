import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { Offer, ServerMessage } from '#shared/wire/control-message.ts';
import { VolunteerDesk } from '../../../signal-server/desks/volunteer-desk.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import type { Placed } from '../../../signal-server/placement/placement.ts';
import { planModel, type PlannedModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry } from '../../../signal-server/placement/registry.ts';
import type { Gate } from '../../../signal-server/routing/candidate.ts';
import { rangeOf, type UnitSpan } from '../../../signal-server/placement/stage-grid.ts';
import type { Suspension } from '../../../signal-server/store/trust-store.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1, true);
const { times } = parseConfig({ times: { rebalanceMs: 1_000, moveCooldownMs: 10_000, loadTimeoutMs: 5_000 } });

describe('the volunteer desk', () => {
  let clock: FakeClock;
  let registry: Registry;
  let desk: VolunteerDesk;
  let models: PlannedModel[];
  let suspensions: Map<PeerId, Suspension>;
  let gates: Map<PeerId, Gate>;
  let loaded: PeerId[];
  let fresh: Set<PeerId>;
  let standIns: Map<PeerId, Placed>;
  let asked: Set<Digest>;
  let sent: { to: PeerId; message: ServerMessage }[];

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    models = [model];
    sent = [];
    gates = new Map();
    loaded = [];
    suspensions = new Map();
    fresh = new Set();
    standIns = new Map();
    asked = new Set();
    open(1);
  });

  function open(secret: number): void {
    desk = new VolunteerDesk({
      clock,
      registry,
      leases: new Leases(clock),
      random: seededBytes(secret),
      trust: {
        suspension: (id) => suspensions.get(id) ?? null,
        standing: (id) => ({ isNew: fresh.has(id) }),
      },
      isAnchor: () => false,
      standIns: {
        placeOf: (id) => standIns.get(id) ?? null,
        isStandIn: (id) => standIns.has(id),
        failed: () => undefined,
      },
      models: () => models,
      asked: () => asked,
      send: ({ id: to }, message) => sent.push({ to, message }),
      gateOf: ({ id }) => gates.get(id) ?? 'open',
      onReady: ({ id }) => loaded.push(id),
      onSupply: () => undefined,
      times,
    });
  }

  const idOf = (name: string): PeerId => name.repeat(64) as PeerId;

  function join(name: string, offer: Partial<Offer> = {}, prefix = 'loopback'): void {
    desk.receive(registry.join(idOf(name), 'tab', prefix, 1), offerOf(offer));
  }

  function ready(name: string): void {
    const member = registry.get(idOf(name))!;
    const assignment = member.volunteer!.assignment!.number;
    desk.receive(member, { type: 'ready', assignment, layerMs: 1, probeError: 0 });
  }

  function leave(name: string): void {
    registry.leave(idOf(name));
    desk.left();
  }

  function startOf(name: string): number | undefined {
    return registry.get(idOf(name))?.volunteer?.assignment?.span.start;
  }

  async function tickAfter(delayMs: number): Promise<void> {
    await clock.advance(delayMs);
    desk.tick();
  }

  it('gives each newcomer work at once', () => {
    for (const name of ['1', '2', '3']) join(name);
    expect(['1', '2', '3'].map(startOf)).toEqual([0, 5, 0]);
    expect(sent.map(({ message }) => message.type)).toEqual(['assign', 'assign', 'assign']);
  });

  it('gives a stand-in the stage that it is there for, and counts it nowhere', () => {
    const back = model.grid.find(({ start }) => start === 5)!;
    standIns.set(idOf('7'), { model: model.digest, span: back });
    standIns.set(idOf('8'), { model: model.digest, span: back });
    for (const name of ['7', '8', '1', '2']) join(name);
    expect(['7', '8', '1', '2'].map(startOf)).toEqual([5, 5, 0, 5]);
  });

  /** Where a new key is put beside two volunteers of each half. */
  function newcomer(name: string, prefix: string, offer: Partial<Offer> = {}): number | undefined {
    fresh.add(idOf(name));
    join(name, offer, prefix);
    const start = startOf(name);
    leave(name);
    return start;
  }

  it('draws the stage of a new key by its network, whatever stage it says it has', () => {
    for (const [i, name] of ['1', '2', '3', '4'].entries()) join(name, {}, `network ${i}`);
    const heldAs = (span: UnitSpan) => ({ held: [{ model: model.digest, range: rangeOf(span, model.layers) }] });
    const [left, right] = model.grid as [UnitSpan, UnitSpan];
    const drawn = Array.from({ length: 40 }, (_, i) => newcomer('a', `other ${i}`));
    expect(new Set(drawn)).toEqual(new Set([left.start, right.start]));
    for (const [i, start] of drawn.entries()) {
      expect(newcomer('b', `other ${i}`)).toBe(start);
      for (const span of [left, right])
        expect(newcomer(`c ${i} ${span.start}`, `other ${i}`, heldAs(span))).toBe(start);
    }
    const rights = drawn.filter((start) => start === right.start).length;
    // Half of 40; four deviations are 12.6.
    expect(Math.abs(rights - 20)).toBeLessThan(13);
  });

  it('draws otherwise in another run of the server', () => {
    const starts = Array.from({ length: 20 }, (_, secret) => {
      open(secret);
      registry.members.forEach(({ id }) => registry.leave(id));
      for (const [i, name] of ['1', '2', '3', '4'].entries()) join(name, {}, `network ${i}`);
      return newcomer('a', 'other');
    });
    expect(new Set(starts).size).toBe(2);
  });

  it('gives a new key that comes back what it was given, though another draw would be due by then', () => {
    for (const [i, name] of ['1', '2', '3', '4'].entries()) join(name, {}, `network ${i}`);
    const start = newcomer('a', 'here');
    const span = model.grid.find((each) => each.start === start)!;
    const held = [{ model: model.digest, range: rangeOf(span, model.layers) }];
    for (let i = 0; i < 20; i++) expect(newcomer('a', `elsewhere ${i}`, { held })).toBe(start);
  });

  it('says why there is none, once, and gives it as soon as there is a model', async () => {
    models = [];
    join('1');
    await tickAfter(1_000);
    expect(sent).toMatchObject([{ message: { type: 'idle' } }]);
    models = [model];
    await tickAfter(1_000);
    expect(startOf('1')).toBe(0);
  });

  it('moves a spare volunteer to a gap, but not while who left may come back', async () => {
    for (const name of ['1', '2', '3']) join(name);
    for (const name of ['1', '2', '3']) ready(name);
    leave('2');
    await tickAfter(500);
    expect([startOf('1'), startOf('3')]).toEqual([0, 0]);
    await tickAfter(600);
    expect([startOf('1'), startOf('3')].sort()).toEqual([0, 5]);
  });

  it('leaves the gap to the volunteer that comes back in time, with its old work', async () => {
    for (const name of ['1', '2', '3']) join(name);
    for (const name of ['1', '2', '3']) ready(name);
    leave('2');
    await clock.advance(500);
    join('2');
    await tickAfter(2_000);
    expect(['1', '2', '3'].map(startOf)).toEqual([0, 5, 0]);
  });

  it('does not move the same volunteer again before its time', async () => {
    for (const name of ['1', '2']) join(name);
    for (const name of ['1', '2']) ready(name);
    leave('1');
    join('3', { held: [{ model: model.digest, range: { start: 4, end: 8, embedding: false, head: true } }] });
    const places = (): (number | undefined)[] => ['2', '3'].map(startOf);
    expect(places()).toEqual([5, 0]);
    leave('3');
    await tickAfter(1_000);
    expect(startOf('2')).toBe(5);
  });

  it('takes the work from who does not get ready, and gives it something smaller', async () => {
    join('1');
    const before = registry.get(idOf('1'))!.volunteer!.assignment!.span;
    await tickAfter(5_001);
    const after = registry.get(idOf('1'))!.volunteer!.assignment!.span;
    expect(after.end - after.start).toBeLessThan(before.end - before.start);
  });

  it('waits for who gets further, however long that takes, but not for ever', async () => {
    join('1');
    const { volunteer } = registry.get(idOf('1'))!;
    const { number } = volunteer!.assignment!;
    const beat = (loadSteps: number): void =>
      desk.receive(registry.get(idOf('1'))!, {
        ...{ type: 'heartbeat', sessions: 0, tokens: 0, layerMs: null, hidden: false },
        loadSteps,
      });
    for (let step = 1; step <= 10; step++) {
      beat(step);
      await tickAfter(3_000);
    }
    expect(volunteer).toMatchObject({ state: 'loading', assignment: { number } });
    for (let times = 0; times < 2; times++) {
      beat(10);
      await tickAfter(3_000);
    }
    expect(volunteer!.assignment?.number).not.toBe(number);
    const again = volunteer!.assignment!.number;
    for (let step = 1; step <= 110; step++) {
      beat(step);
      await tickAfter(3_000);
    }
    expect(volunteer!.assignment?.number).not.toBe(again);
  });

  it('gives a model of processors to a graphics device only where its owner left it the choice', () => {
    const small = smallManifest();
    models = [planModel(model.digest, { ...small, pins: { ...small.pins, onlyOn: 'wasm' } }, 1, true)];
    join('1', { backend: 'webgpu', hasProcessor: false });
    expect(sent.at(-1)!.message).toMatchObject({
      type: 'idle',
      reason: expect.stringContaining('processors alone') as string,
    });
    join('2', { backend: 'webgpu' });
    expect(sent.at(-1)!.message).toMatchObject({ type: 'assign', model: model.digest });
  });

  describe('where a device takes longer than others wait, and no smaller work fits it', () => {
    const smallest = Math.min(...model.grid.map((span) => model.memoryBytes(span, 'wasm', 1)));
    let number: number;

    beforeEach(async () => {
      // With somebody for the rest, or the smallest stage would be of no use.
      join('2');
      join('1', { pledgeBytes: smallest });
      number = registry.get(idOf('1'))!.volunteer!.assignment!.number;
      await tickAfter(5_001);
    });

    it('takes it for one that holds nothing', () => {
      expect(registry.get(idOf('1'))!.volunteer).toMatchObject({ state: 'idle', assignment: null });
    });

    it('lets it serve as soon as it is ready', () => {
      const member = registry.get(idOf('1'))!;
      desk.receive(member, { type: 'ready', assignment: number, layerMs: 1, probeError: 0 });
      expect(member.volunteer).toMatchObject({ state: 'ready', assignment: { number }, failed: [] });
    });

    it('says why there is no work where it fails in the end', () => {
      const member = registry.get(idOf('1'))!;
      desk.receive(member, { type: 'failed', assignment: number, code: 'out-of-memory', message: '' });
      expect(sent.at(-1)!.message).toMatchObject({ type: 'idle' });
      desk.receive(member, { type: 'ready', assignment: number, layerMs: 1, probeError: 0 });
      expect(member.volunteer).toMatchObject({ state: 'idle', assignment: null });
    });

    it('does not take it back when it has paused meanwhile', () => {
      const member = registry.get(idOf('1'))!;
      desk.receive(member, { type: 'pause' });
      desk.receive(member, { type: 'ready', assignment: number, layerMs: 1, probeError: 0 });
      expect(member.volunteer).toMatchObject({ state: 'paused', assignment: null });
    });
  });

  it('gives a stage that failed for want of memory to nobody twice', () => {
    join('1');
    const member = registry.get(idOf('1'))!;
    const { number, span } = member.volunteer!.assignment!;
    desk.receive(member, { type: 'failed', assignment: number, code: 'out-of-memory', message: '' });
    const next = member.volunteer!.assignment!.span;
    expect(next.end - next.start).toBeLessThan(span.end - span.start);
  });

  it.each(['server-lost', 'not-found', 'internal'] as const)(
    'gives a stage that could not be fetched (%s) again a moment later, whole',
    async (code) => {
      join('1');
      const member = registry.get(idOf('1'))!;
      const { number, span } = member.volunteer!.assignment!;
      desk.receive(member, { type: 'failed', assignment: number, code, message: '' });
      expect(member.volunteer).toMatchObject({ state: 'idle', assignment: null });
      expect(sent.at(-1)!.message).toMatchObject({
        type: 'idle',
        reason: expect.stringContaining('tried again') as string,
      });
      await tickAfter(2_001);
      expect(member.volunteer).toMatchObject({ state: 'loading', assignment: { span } });
    },
  );

  it('tries something smaller where the same device fails in a row for no clear reason', async () => {
    join('1');
    const member = registry.get(idOf('1'))!;
    const { span } = member.volunteer!.assignment!;
    for (let times = 0; times < 4; times++) {
      const { number } = member.volunteer!.assignment!;
      desk.receive(member, { type: 'failed', assignment: number, code: 'internal', message: '' });
      await tickAfter(30_001);
    }
    const next = member.volunteer!.assignment!.span;
    expect(next.end - next.start).toBeLessThan(span.end - span.start);
  });

  it('gives no work to a device that computed wrongly until its next offer', async () => {
    join('1');
    const member = registry.get(idOf('1'))!;
    desk.receive(member, {
      type: 'failed',
      assignment: member.volunteer!.assignment!.number,
      code: 'probe-failed',
      message: '',
    });
    await tickAfter(1_000);
    expect(member.volunteer).toMatchObject({ state: 'idle', assignment: null });
    desk.receive(member, offerOf());
    expect(member.volunteer).toMatchObject({ state: 'loading' });
  });

  describe('when a key is suspended', () => {
    const suspend = (name: string): void => {
      suspensions.set(idOf(name), { times: 1, untilMs: clock.wallMs() + 5_000, reason: 'it lied' });
      desk.suspended(idOf(name));
    };

    it('takes its work and says why', () => {
      join('1');
      ready('1');
      suspend('1');
      expect(registry.get(idOf('1'))!.volunteer).toMatchObject({ state: 'idle', assignment: null });
      expect(sent.at(-1)!.message).toMatchObject({
        type: 'idle',
        reason: expect.stringContaining('it lied') as string,
      });
      expect(sent.at(-1)!.message).toMatchObject({ reason: expect.stringContaining('2026-01-01 00:00 UTC') as string });
    });

    it('gives it none for another offer, and gives it some when the time is over', async () => {
      join('1');
      suspend('1');
      join('1');
      await tickAfter(1_000);
      expect(startOf('1')).toBeUndefined();
      suspensions.clear();
      await tickAfter(1_000);
      expect(startOf('1')).toBe(0);
    });

    it('gives its layers to others', async () => {
      for (const name of ['1', '2', '3']) join(name);
      for (const name of ['1', '2', '3']) ready(name);
      suspend('2');
      await tickAfter(1_100);
      expect(['1', '3'].map(startOf).sort()).toEqual([0, 5]);
    });

    it('leaves who is not here, or is paused, alone', () => {
      join('1');
      desk.receive(registry.get(idOf('1'))!, { type: 'pause' });
      const before = sent.length;
      suspend('1');
      suspend('9');
      expect(sent).toHaveLength(before);
    });
  });

  it('tells of each stage that was loaded, and gives the layers of who may not work to others', () => {
    for (const name of ['1', '2']) join(name);
    for (const name of ['1', '2']) ready(name);
    expect(loaded).toEqual([idOf('1'), idOf('2')]);
    gates.set(idOf('2'), 'closed');
    join('3');
    expect(['1', '2', '3'].map(startOf)).toEqual([0, 5, 5]);
  });

  it('ignores what a withdrawn volunteer still says', () => {
    join('1');
    const member = registry.get(idOf('1'))!;
    const { number } = member.volunteer!.assignment!;
    desk.receive(member, { type: 'withdraw' });
    desk.receive(member, { type: 'ready', assignment: number, layerMs: 1, probeError: 0 });
    expect(member.volunteer).toBeNull();
  });
});
