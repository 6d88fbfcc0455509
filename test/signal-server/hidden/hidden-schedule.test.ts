import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { HiddenSchedule, type HiddenOutcome } from '../../../signal-server/hidden/hidden-schedule.ts';

const times = {
  ...{ meanMs: 600_000, complaintMeanMs: 45_000, backoffMs: 60_000, maxBackoffMs: 3_600_000, againMs: 3_000 },
  ...{ trialsAtOnce: 4, share: 0.1 },
};
const id = (name: string): PeerId => name.repeat(64) as PeerId;
const always = (): boolean => true;
/** With this chance a drawn time is its mean. */
const meanChance = 1 - Math.exp(-1);

function scheduleOf(chance = (): number => meanChance) {
  const schedule = new HiddenSchedule(times, chance);
  const run = (name: string, outcome: HiddenOutcome, nowMs: number): void => {
    const next = schedule.next(nowMs, false, always);
    expect(next?.id).toBe(id(name));
    schedule.began(next!.id, next!.kind, nowMs);
    schedule.ended(next!.id, outcome, nowMs);
  };
  return { schedule, run };
}

describe('the schedule of hidden sessions', () => {
  it('tries a newcomer at once, though others wait for routes', () => {
    const { schedule } = scheduleOf();
    schedule.ready(id('a'), 'p', false, 5);
    expect(schedule.next(5, true, always)).toEqual({ id: id('a'), kind: 'trial' });
  });

  it('comes back after a time by chance, and sooner to a class whose distance has to be measured', () => {
    const { schedule, run } = scheduleOf();
    schedule.ready(id('a'), 'p', false, 0);
    run('a', 'passed', 0);
    schedule.ready(id('b'), 'p', true, 0);
    run('b', 'passed', 0);
    expect(schedule.next(299_999, false, always)).toBeNull();
    expect(schedule.next(300_001, false, always)).toEqual({ id: id('b'), kind: 'later' });
    schedule.gone(id('b'));
    expect(schedule.next(599_999, false, always)).toBeNull();
    expect(schedule.next(600_001, false, always)).toEqual({ id: id('a'), kind: 'later' });
  });

  it('never comes while somebody waits, unless it is the first', () => {
    const { schedule, run } = scheduleOf();
    schedule.ready(id('a'), 'p', false, 0);
    run('a', 'passed', 0);
    expect(schedule.next(1e9, true, always)).toBeNull();
    expect(schedule.next(1e9, false, always)).not.toBeNull();
  });

  it('leaves a key that failed alone for one minute, two, four, also after it has left and come back', () => {
    const { schedule, run } = scheduleOf();
    let nowMs = 0;
    for (const minutes of [1, 2, 4]) {
      schedule.ready(id('a'), 'p', false, nowMs);
      run('a', 'failed', nowMs);
      schedule.gone(id('a'));
      schedule.ready(id('a'), 'p', false, nowMs);
      expect(schedule.restsUntilMs(id('a'), nowMs)).toBe(nowMs + minutes * 60_000);
      expect(schedule.next(nowMs + minutes * 60_000 - 1, false, always)).toBeNull();
      nowMs += minutes * 60_000;
    }
    schedule.ready(id('a'), 'p', false, nowMs);
    run('a', 'passed', nowMs);
    expect(schedule.restsUntilMs(id('a'), nowMs)).toBeNull();
  });

  it('makes newcomers wait neither for keys that failed before nor for many of one network', () => {
    const { schedule, run } = scheduleOf();
    schedule.ready(id('1'), 'p', false, 0);
    run('1', 'failed', 0);
    for (const name of ['2', '3', '4', '5', '6']) schedule.ready(id(name), 'p', false, 60_000);
    const begun = ['', '', ''].map(() => {
      const next = schedule.next(60_000, false, always)!;
      schedule.began(next.id, next.kind, 60_000);
      return next.id;
    });
    expect(begun).toEqual([id('2'), id('3'), id('4')]);
    schedule.ready(id('7'), 'other', false, 60_001);
    expect(schedule.next(60_001, false, always)?.id).toBe(id('7'));
  });

  it('follows a complaint up after a time by chance, once', () => {
    const { schedule, run } = scheduleOf();
    schedule.ready(id('a'), 'p', false, 0);
    run('a', 'passed', 0);
    schedule.complained(id('a'), 1_000);
    schedule.complained(id('a'), 2_000);
    expect(schedule.next(45_999, false, always)).toBeNull();
    run('a', 'passed', 46_001);
    schedule.complained(id('a'), 46_002);
    expect(schedule.next(46_001 + 599_000, false, always)).toBeNull();
  });

  it('has a complaint bring nothing for a volunteer that is to be tried anyway', () => {
    const { schedule, run } = scheduleOf(() => 0);
    schedule.ready(id('a'), 'p', false, 0);
    run('a', 'failed', 0);
    schedule.complained(id('a'), 1);
    expect(schedule.next(59_999, false, always)).toBeNull();
  });

  it('skips those beside whom no anchor is free', () => {
    const { schedule } = scheduleOf();
    schedule.ready(id('a'), 'p', false, 0);
    schedule.ready(id('b'), 'p', false, 1);
    expect(schedule.next(1, false, (one) => one !== id('a'))?.id).toBe(id('b'));
  });

  it('runs no two later sessions at once, and takes no more than its share, whatever happens', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const step = fc.record({
      name: fc.constantFrom(...names),
      what: fc.constantFrom('ready', 'gone', 'complained', 'next', 'end'),
      outcome: fc.constantFrom<HiddenOutcome>('passed', 'passed', 'failed', 'unclear'),
      afterMs: fc.integer({ min: 0, max: 30_000 }),
      chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        let [nowMs, chance] = [0, 0];
        const schedule = new HiddenSchedule(times, () => chance);
        const running = new Map<PeerId, { kind: string; sinceMs: number }>();
        let last: { beganMs: number; endedMs: number } | null = null;
        for (const { name, what, outcome, afterMs, ...drawn } of steps) {
          nowMs += afterMs;
          chance = drawn.chance;
          if (what === 'ready') schedule.ready(id(name), 'p', false, nowMs);
          if (what === 'gone') schedule.gone(id(name));
          if (what === 'complained') schedule.complained(id(name), nowMs);
          if (what === 'next') {
            const next = schedule.next(nowMs, false, always);
            if (next === null) continue;
            expect(running.has(next.id)).toBe(false);
            running.set(next.id, { kind: next.kind, sinceMs: nowMs });
            schedule.began(next.id, next.kind, nowMs);
            const kinds = [...running.values()].map(({ kind }) => kind);
            expect(kinds.filter((kind) => kind === 'trial').length).toBeLessThanOrEqual(times.trialsAtOnce);
            expect(kinds.filter((kind) => kind === 'later').length).toBeLessThanOrEqual(1);
            // What came before, with the rest after it, is no more than a tenth work.
            if (next.kind === 'later' && last !== null) {
              expect(last.endedMs - last.beganMs).toBeLessThanOrEqual(times.share * (nowMs - last.beganMs) + 1e-6);
            }
          }
          if (what === 'end') {
            const ended = [...running][0];
            if (ended === undefined) continue;
            running.delete(ended[0]);
            schedule.ended(ended[0], outcome, nowMs);
            if (ended[1].kind === 'later') last = { beganMs: ended[1].sinceMs, endedMs: nowMs };
          }
        }
      }),
    );
  });

  it('draws times that have no memory: as many come in the first part of the mean as chance has it', () => {
    let count = 0;
    const schedule = new HiddenSchedule({ ...times, share: 1 }, () => (count++ % 1_000) / 1_000);
    let early = 0;
    for (let i = 0; i < 1_000; i++) {
      schedule.ready(id('a'), 'p', false, 0);
      schedule.began(id('a'), 'trial', 0);
      schedule.ended(id('a'), 'passed', 0);
      if (schedule.next(times.meanMs / 10, false, always) !== null) early += 1;
    }
    expect(early / 1_000).toBeCloseTo(1 - Math.exp(-0.1), 2);
  });
});
