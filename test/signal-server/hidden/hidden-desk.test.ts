import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Route } from '#shared/route/route.ts';
import { HiddenDesk, type HiddenEnd } from '../../../signal-server/hidden/hidden-desk.ts';
import type { HiddenRun } from '../../../signal-server/hidden/hidden-run.ts';
import { StandIns } from '../../../signal-server/hidden/stand-ins.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { systemRandom } from '../../../signal-server/machine/system-clock.ts';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import { offerOf, routeRequest } from '../../support/control-peer.ts';
import type { Suspension } from '../../../signal-server/store/trust-store.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { findingOf, spanOf, tokenEvent } from '../../support/verdicts.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 1, true);
const [front, back] = [model.grid.find(({ start }) => start === 0)!, model.grid.find(({ start }) => start === 5)!];
const id = (digit: string): PeerId => digit.repeat(64) as PeerId;
const [asker, stranger] = [id('c'), id('d')];
const { hidden } = parseConfig({});
const SILENCE_MS = 12_000;

describe('the desk of hidden sessions', () => {
  let clock: FakeClock;
  let registry: Registry;
  let desk: HiddenDesk;
  let standIns: StandIns;
  let runs: (HiddenRun & { end: (error?: ChorusError) => void })[];
  let results: HiddenEnd[];
  let kept: string[];
  let isBusy: boolean;
  let isOwn: (one: PeerId) => boolean;
  let suspended: Suspension | null;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    [runs, results, kept, isBusy, isOwn, suspended] = [[], [], [], false, () => false, null];
    const standInLog = { info: () => undefined, warn: () => undefined };
    standIns = new StandIns({ clock, registry, mostBytes: 2 ** 40, log: standInLog, models: () => [model] });
    desk = new HiddenDesk({
      ...{ clock, registry, hidden, leases: new Leases(clock), random: systemRandom, log: { info: () => undefined } },
      trust: {
        suspension: () => suspended,
        standing: () => ({
          ...{ witnessedSpans: 0, agreedSpans: 0, isNew: true, isLongTrusted: false, suspendedUntilMs: null },
        }),
        failHidden: async (one, _class, reason) => void kept.push(`${one[0]} failed: ${reason}`),
      },
      models: () => [model],
      standIns,
      isAnchor: (one) => one === id('1') || one === id('2') || isOwn(one),
      isFilling: () => false,
      isBusy: () => isBusy,
      silenceMs: SILENCE_MS,
      onResult: (ended) => results.push(ended),
      onSupply: () => undefined,
      onError: (error) => {
        throw error;
      },
    });
    join('1', front);
    join('2', back);
  });

  function attach(): void {
    desk.attach({
      run: (run) => new Promise((resolve, reject) => runs.push({ ...run, end: (e) => (e ? reject(e) : resolve()) })),
    });
  }

  function join(digit: string, span = back, connection = 1): Member {
    const member = registry.join(id(digit), 'cli', 'loopback', connection);
    const volunteer = registry.offer(member, offerOf({ numericClass: ENGINE_CLASS, slots: 4 }));
    registry.ready(volunteer, {
      assignment: registry.assign(volunteer, { model: model.digest, span }).number,
      layerMs: 1,
    });
    desk.ready(member);
    return member;
  }

  const request = routeRequest(model.digest, { policy: { shadows: 1, minStages: 2 } });

  /** The session of this run as the desk plans it, with the events of one that goes well. */
  function pass(run: HiddenRun, lapMs = 11): void {
    run.onAsker(asker, true);
    const planned = desk.planFor(asker, model, request);
    if (planned?.type !== 'route') throw new Error(JSON.stringify(planned));
    const { stages } = planned;
    run.onEvent({ type: 'routed', route: { stages } as unknown as Route, links: [] });
    for (let i = 0; i < 3; i++) run.onEvent({ ...tokenEvent(3, 7), lapMs } as AnswerEvent);
    const { primary, shadows } = stages[1]!;
    const finding = findingOf(0, { shadow: shadows[0]!.id, shadowClass: ENGINE_CLASS });
    const span = spanOf(0, 11, 'checked', [finding]);
    const stage = { ...span.stages[0]!, primary: primary.id, primaryClass: ENGINE_CLASS };
    run.onEvent({ type: 'checked', check: { ...span, stages: [stage] } });
  }

  async function end(run: (typeof runs)[number], error?: ChorusError): Promise<void> {
    run.end(error);
    await settle();
  }

  /** Volunteer 3 comes, and does not open its trial in time. */
  async function beLate(): Promise<void> {
    attach();
    join('3');
    runs[0]!.onAsker(asker, true);
    desk.planFor(asker, model, request);
    await clock.advance(hidden.trialOpenMs);
    await end(runs[0]!, new ChorusError('cancelled', 'the answer was cancelled'));
  }

  it('lets everybody work while nobody can carry sessions out', () => {
    expect(desk.gateOf(join('3'))).toBe('open');
    expect(desk.planFor(asker, model, request)).toBeNull();
  });

  it('lets nobody work before it has passed, then does, at the speed of its laps', async () => {
    attach();
    const member = join('3');
    expect(desk.gateOf(member)).toBe('trial');
    expect(runs).toMatchObject([{ kind: 'trial', model: model.digest }]);
    pass(runs[0]!);
    await end(runs[0]!);
    expect(desk.gateOf(member)).toBe('open');
    // A lap of 11 ms, of which the anchor before it takes 5 ms for its 5 units.
    expect(member.volunteer).toMatchObject({ tried: { layerMs: 6 / 5 }, measuredClass: true });
    expect(kept).toEqual([]);
  });

  it('never needs to try its own anchors', () => {
    attach();
    expect(desk.gateOf(registry.get(id('1'))!)).toBe('open');
    expect(runs).toEqual([]);
  });

  it('plans for the keys of its own sessions alone, and for those only while they run', async () => {
    attach();
    join('3');
    pass(runs[0]!);
    expect(desk.planFor(stranger, model, request)).toBeNull();
    expect(desk.planFor(asker, model, { ...request, exclude: [id('3')] })).toBeNull();
    await end(runs[0]!);
    expect(desk.planFor(asker, model, request)).toBeNull();
  });

  it('ends a trial that nobody opens, and leaves who was silent out', async () => {
    attach();
    const member = join('3');
    runs[0]!.onAsker(asker, true);
    desk.planFor(asker, model, request);
    await clock.advance(hidden.trialOpenMs);
    expect(runs[0]!.signal.aborted).toBe(true);
    await end(runs[0]!, new ChorusError('cancelled', 'the answer was cancelled'));
    expect(desk.gateOf(member)).toBe('closed');
    expect(desk.failureOf(member.id)).toEqual({
      reason: 'it did not open the session in time',
      untilMs: clock.nowMs() + hidden.backoffMs,
    });
    // Its page may stand still, and turn out to be gone.
    expect(kept).toEqual([]);
    await clock.advance(SILENCE_MS);
    desk.tick();
    expect(kept).toEqual(['3 failed: it did not open the session in time']);
  });

  it('forgives one that was late because its page stood still, and tries it as if that had not been', async () => {
    await beLate();
    desk.silent(id('3'));
    registry.leave(id('3'));
    const again = join('3', back, 2);
    expect([desk.gateOf(again), desk.failureOf(id('3')), runs.length]).toEqual(['trial', null, 2]);
    await clock.advance(SILENCE_MS);
    desk.tick();
    expect(kept).toEqual([]);
  });

  it('does not blame it for a route that there was none of', async () => {
    attach();
    const member = join('3');
    await clock.advance(hidden.trialOpenMs);
    expect(runs[0]!.signal.aborted).toBe(false);
    await end(runs[0]!, new ChorusError('all-busy', 'no anchor is free for it'));
    expect(desk.gateOf(member)).toBe('trial');
    expect([kept, results]).toMatchObject([[], [{ result: { type: 'unclear' } }]]);
    await clock.advance(hidden.againMs);
    desk.tick();
    expect(runs).toHaveLength(2);
  });

  it('puts a tab that its browser slows down aside, and holds nothing against it', async () => {
    attach();
    const member = join('3');
    registry.heartbeat(member.volunteer!, { type: 'heartbeat', sessions: 0, tokens: 0, layerMs: 1, hidden: true });
    runs[0]!.onAsker(asker, true);
    desk.planFor(asker, model, request);
    await clock.advance(hidden.trialOpenMs);
    await end(runs[0]!, new ChorusError('cancelled', 'the answer was cancelled'));
    expect(desk.gateOf(member)).toBe('closed');
    await clock.advance(SILENCE_MS);
    desk.tick();
    expect([kept, results]).toMatchObject([[], [{ isFault: false }]]);
  });

  it('holds lateness against one that leaves of itself all the same', async () => {
    await beLate();
    registry.leave(id('3'));
    await clock.advance(SILENCE_MS);
    desk.tick();
    expect(kept).toEqual(['3 failed: it did not open the session in time']);
  });

  it('holds a fault against it that was proven in the session, and took its work away', async () => {
    attach();
    const member = join('3');
    suspended = { times: 1, untilMs: clock.wallMs() + 1, reason: 'it computed something else' };
    registry.release(member.volunteer!);
    await end(runs[0]!, new ChorusError('cancelled', 'the answer was cancelled'));
    expect(kept).toEqual(['3 failed: it computed something else']);
    expect(results).toMatchObject([{ isFault: true }]);
  });

  it('holds wrong numbers against it, whatever its tab says, and though it has left', async () => {
    attach();
    const member = join('3');
    registry.heartbeat(member.volunteer!, { type: 'heartbeat', sessions: 0, tokens: 0, layerMs: 1, hidden: true });
    pass(runs[0]!);
    const [stage, range] = [1, { start: 0, end: 8 }];
    runs[0]!.onEvent({
      ...{ type: 'fault', volunteer: id('3'), stage, role: 'primary', code: 'disagreement', isProven: false },
      ...range,
    });
    expect(runs[0]!.signal.aborted).toBe(true);
    registry.leave(id('3'));
    await end(runs[0]!);
    expect(kept).toEqual(['3 failed: its numbers were not those of the layers']);
  });

  it('knows nothing of one that left meanwhile, or was given other work', async () => {
    attach();
    const member = join('3');
    pass(runs[0]!);
    registry.release(member.volunteer!);
    await end(runs[0]!);
    expect([kept, results]).toMatchObject([[], [{ result: { type: 'unclear' } }]]);
  });

  it('asks again at a time by chance, never while somebody waits, and once for a complaint', async () => {
    attach();
    join('3');
    pass(runs[0]!);
    await end(runs[0]!);
    desk.complained(id('3'));
    isBusy = true;
    for (let i = 0; i < 40; i++) {
      await clock.advance(60_000);
      desk.tick();
    }
    expect(runs).toHaveLength(1);
    isBusy = false;
    desk.tick();
    expect(runs[1]).toMatchObject({ kind: 'later' });
  });

  it('takes the work from one that was honest at first alone', async () => {
    attach();
    const member = join('3');
    pass(runs[0]!);
    await end(runs[0]!);
    await clock.advance(100 * hidden.meanMs);
    desk.tick();
    pass(runs[1]!);
    runs[1]!.onEvent({
      ...{ type: 'fault', volunteer: id('3'), stage: 1, role: 'primary', code: 'disagreement', isProven: true },
      ...{ start: 0, end: 8 },
    });
    // It goes on as any other answer would.
    expect(runs[1]!.signal.aborted).toBe(false);
    await end(runs[1]!);
    expect(desk.gateOf(member)).toBe('closed');
    expect(member.volunteer).toMatchObject({ tried: null, measuredClass: false });
  });

  it('counts with another speed than before only at a time by chance', async () => {
    attach();
    const member = join('3');
    pass(runs[0]!);
    await end(runs[0]!);
    const speeds = new Set<number>();
    for (let i = 1; i < 30; i++) {
      await clock.advance(10 * hidden.meanMs);
      desk.tick();
      pass(runs[i]!, 21);
      await end(runs[i]!);
      speeds.add(member.volunteer!.tried!.layerMs);
    }
    expect([...speeds]).toEqual([6 / 5, 16 / 5]);
  });

  it('keeps everybody out while its anchors are away for a moment, and lets them in where they stay away', async () => {
    attach();
    const before = join('3');
    await end(runs[0]!, new ChorusError('server-lost', 'away'));
    registry.leave(id('2'));
    await clock.advance(59_000);
    desk.tick();
    expect(desk.gateOf(before)).toBe('trial');
    await clock.advance(2_000);
    expect(desk.gateOf(before)).toBe('open');
    join('2');
    desk.tick();
    expect(desk.gateOf(before)).toBe('trial');
  });

  const half = model.grid.find(({ start, end }) => start === 5 && end < 10)!;

  it('cannot try a stage that no anchor holds just so, where nobody stands in for one', () => {
    attach();
    expect(desk.gateOf(join('3', half))).toBe('open');
    expect(runs).toEqual([]);
  });

  it('has stand-ins compute beside a volunteer whose stage no anchor holds just so, and tries it once they can', () => {
    const keys: PeerId[] = [];
    standIns.attach({
      run(onKey) {
        keys.push(id('789'[keys.length]!));
        onKey(keys.at(-1)!);
        return new Promise(() => undefined);
      },
    });
    attach();
    const member = join('3', half);
    expect(desk.gateOf(member)).toBe('trial');
    expect(runs).toEqual([]);
    isOwn = (one) => keys.includes(one);
    for (const key of keys) join(key[0]!, standIns.placeOf(key)!.span);
    expect(runs).toMatchObject([{ kind: 'trial' }]);
    runs[0]!.onAsker(asker, true);
    const planned = desk.planFor(asker, model, request);
    if (planned?.type !== 'route') throw new Error(JSON.stringify(planned));
    const replicas = planned.stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
    expect(replicas.find(({ id: one }) => one === id('3'))!.span).toEqual(half);
    expect(replicas.every(({ id: one }) => one === id('3') || keys.includes(one) || one === id('1'))).toBe(true);
    expect(replicas.filter(({ span }) => span === half || span.start === half.start)).toHaveLength(2);
  });
});
