import { beforeEach, expect, test } from 'vitest';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Lending } from '#shared/peer/volunteer/lending.ts';
import type { VolunteerState } from '#shared/peer/volunteer/volunteer-state.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { Settings } from '../../../web/state/settings.svelte.ts';
import { VolunteerPanel, type HeldStages } from '../../../web/state/volunteer-panel.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { downloadingState, servingState } from '../../support/page-gallery/fixtures.ts';

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

/** A panel over a volunteer that shows the states it is told to. */
function setUp(options: { fails?: boolean; until?: Promise<void>; clock?: Clock } = {}) {
  let state: VolunteerState = { ...downloadingState(0), phase: 'connecting' };
  let listener = (): void => undefined;
  const seen = {
    held: [] as HeldStages,
    faults: [] as (string | null)[],
    slept: 0,
    calls: [] as string[],
    prepared: [] as string[],
    lent: [] as Lending[],
  };
  const settings = new Settings(localStorage);
  const show = (next: VolunteerState): void => {
    state = next;
    listener();
  };
  const panel = new VolunteerPanel({
    settings,
    storage: localStorage,
    clock: options.clock ?? pageClock(),
    tabStorage: sessionStorage,
    prefetch: () => undefined,
    prepareThread: async (backend) => void seen.prepared.push(backend),
    keepAwake: () => Promise.resolve(() => seen.slept++),
    createVolunteer: async (_settings, past) => {
      await options.until;
      if (options.fails === true) return Promise.reject(new ChorusError('server-lost', 'no server'));
      seen.held = past.held;
      seen.faults.push(past.deviceFault);
      return Promise.resolve({
        get state() {
          return state;
        },
        onChange: (added) => {
          listener = added;
          return () => undefined;
        },
        start: () => seen.calls.push('start'),
        configure: (lending) => seen.lent.push(lending),
        pause: () => seen.calls.push('pause'),
        resume: () => seen.calls.push('resume'),
        finish: () => Promise.resolve(),
        stop: () => show({ ...state, phase: 'off' }),
      });
    },
  });
  return { panel, settings, seen, show };
}

test('nothing is made or started before Start', async () => {
  const { panel, seen } = setUp();
  panel.prefetch();
  await Promise.resolve();
  expect([panel.isOff, seen.calls, seen.prepared]).toEqual([true, [], []]);
});

test('a tab that worked until it was reloaded gets its runtime ready, and says so', async () => {
  const first = setUp();
  await first.panel.start();
  first.show(servingState(0));
  const reloaded = setUp();
  reloaded.panel.prefetch();
  expect([reloaded.panel.wasWorking, reloaded.seen.prepared, reloaded.seen.calls]).toEqual([true, ['webgpu'], []]);
  expect(reloaded.panel.isPreparing).toBe(true);
  await expect.poll(() => reloaded.panel.isPreparing).toBe(false);
});

test.each(['paused', 'finishing', 'failed', 'off'] as const)(
  'a tab whose volunteer was %s when it was reloaded gets nothing ready',
  async (phase) => {
    const first = setUp();
    await first.panel.start();
    first.show(servingState(0));
    first.show({ ...servingState(1), phase });
    const reloaded = setUp();
    reloaded.panel.prefetch();
    expect([reloaded.panel.wasWorking, reloaded.seen.prepared]).toEqual([false, []]);
  },
);

test('a tab that worked, was started again and stopped before it had connected gets nothing ready', async () => {
  const first = setUp();
  await first.panel.start();
  first.show(servingState(0));
  const reloaded = setUp({ until: new Promise(() => undefined) });
  void reloaded.panel.start();
  reloaded.panel.stop();
  reloaded.panel.prefetch();
  expect([reloaded.panel.wasWorking, reloaded.seen.prepared]).toEqual([false, []]);
});

test('a tab that was stopped gets nothing ready', async () => {
  const { panel, seen, show } = setUp();
  await panel.start();
  show(servingState(0));
  panel.stop();
  panel.prefetch();
  expect([panel.wasWorking, seen.prepared]).toEqual([false, []]);
});

test('what was held is offered again after a reload, once each, newest first', async () => {
  const first = setUp();
  await first.panel.start();
  first.show(servingState(0));
  first.show(servingState(1));
  first.show({ ...servingState(2), range: { start: 0, end: 2, embedding: true, head: false } });
  const reloaded = setUp();
  await reloaded.panel.start();
  expect(reloaded.seen.held.map(({ range }) => range.start)).toEqual([0, 4]);
});

const onProcessor = (isDeviceFaulty: boolean): VolunteerState => {
  const state = servingState(0);
  const fallbackReason = 'the graphics device did not answer within 5 s';
  return { ...state, backend: { ...state.backend!, backend: 'wasm', fallbackReason, isDeviceFaulty } };
};
const working = servingState(0);
const inMotion = (state: VolunteerState): VolunteerState => ({ ...state, phase: 'loading' });

test('a graphics device that failed is remembered over Stop and Start and over a reload of the tab', async () => {
  const first = setUp();
  await first.panel.start();
  first.show(onProcessor(true));
  first.panel.stop();
  await first.panel.start();
  const reloaded = setUp();
  await reloaded.panel.start();
  const fault = 'the graphics device did not answer within 5 s';
  expect([first.seen.faults, reloaded.seen.faults]).toEqual([[null, fault], [fault]]);
});

test.each(['webgpu', 'auto'] as const)('choosing %s has a graphics device that failed tried again', async (backend) => {
  const { panel, seen, show } = setUp();
  await panel.start();
  const failed = onProcessor(true);
  show(failed);
  panel.change({ backend: 'webgpu' });
  panel.change({ backend });
  // What it works with until it has changed is no news.
  show(inMotion(failed));
  panel.stop();
  await panel.start();
  expect(seen.faults).toEqual([null, null]);
});

test.each([
  ['works after all', working],
  ['is no faster than the processor', onProcessor(false)],
])('nothing is held against a graphics device that %s', async (_, state) => {
  const { panel, seen, show } = setUp();
  await panel.start();
  show(state);
  panel.stop();
  await panel.start();
  expect(seen.faults).toEqual([null, null]);
});

test('a failed start says why and lets the person start again', async () => {
  const { panel } = setUp({ fails: true });
  await panel.start();
  expect([panel.state.phase, panel.state.error?.code, panel.isOff]).toEqual(['failed', 'server-lost', true]);
});

test('Stop before the server has answered turns it off, and what comes late is not started', async () => {
  let answer = (): void => undefined;
  const { panel, seen } = setUp({ until: new Promise((resolve) => (answer = resolve)) });
  const started = panel.start();
  expect(panel.isOff).toBe(false);
  panel.stop();
  expect(panel.isOff).toBe(true);
  answer();
  await started;
  expect([panel.state.phase, seen.calls]).toEqual(['off', []]);
});

test('the log has each change once and leaves progress out', async () => {
  const { panel, show } = setUp();
  await panel.start();
  show(downloadingState(0));
  show({ ...downloadingState(0), progress: { label: 'x', unit: 'bytes', done: 2, total: 3 } });
  show(servingState(0));
  expect(panel.log.map(({ text }) => text)).toEqual([
    servingState(0).message,
    downloadingState(0).message,
    'Connecting to the signal server',
  ]);
});

test('the screen may sleep again after Stop', async () => {
  const { panel, settings, seen } = setUp();
  settings.volunteer.update({ keepAwake: true });
  await panel.start();
  panel.stop();
  expect([seen.slept, panel.isOff]).toEqual([1, true]);
});

test('the second tap of a double tap on Start neither pauses nor stops it, and a later press does', async () => {
  const clock = new FakeClock();
  const { panel, seen, show } = setUp({ clock });
  panel.press('start');
  await clock.advance(0);
  show(servingState(0));
  panel.press('pause');
  panel.press('stop');
  expect([panel.isHeld, panel.isOff, seen.calls]).toEqual([true, false, ['start']]);
  await clock.advance(500);
  panel.press('pause');
  expect(seen.calls).toEqual(['start', 'pause']);
});

test('the second tap of a double tap on Stop starts nothing', async () => {
  const clock = new FakeClock();
  const { panel, seen, show } = setUp({ clock });
  panel.press('start');
  await clock.advance(500);
  show(servingState(0));
  panel.press('stop');
  panel.press('start');
  await clock.advance(500);
  expect([panel.isOff, seen.calls]).toEqual([true, ['start']]);
});

test('settings of a working volunteer count once they stay as they are, and those of one that is off from its start', async () => {
  const clock = new FakeClock();
  const { panel, settings, seen } = setUp({ clock });
  panel.change({ slots: 3 });
  await clock.advance(1000);
  expect(seen.lent).toEqual([]);
  await panel.start();
  for (const dutyPercent of [80, 60, 40]) panel.change({ dutyPercent });
  expect(settings.volunteer.value).toMatchObject({ slots: 3, dutyPercent: 40 });
  await clock.advance(1000);
  expect(seen.lent).toMatchObject([
    { slots: 3, dutyShare: 1 },
    { slots: 3, dutyShare: 0.4 },
  ]);
});

test('the switch that keeps the screen awake counts at once, off and on', async () => {
  const clock = new FakeClock();
  const { panel, seen } = setUp({ clock });
  panel.change({ keepAwake: true });
  await panel.start();
  panel.change({ keepAwake: false });
  await clock.advance(1000);
  expect(seen.slept).toBe(1);
  panel.change({ keepAwake: true });
  await clock.advance(1000);
  panel.stop();
  expect(seen.slept).toBe(2);
});

test('settings that storage holds in another shape fall back to the first ones', () => {
  localStorage.setItem('chorus.volunteer', JSON.stringify({ backend: 'cuda', slots: -1 }));
  expect(new Settings(localStorage).volunteer.value.backend).toBe('auto');
});
