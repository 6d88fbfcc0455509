import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { WakefulClock, type Waker } from '../../../web/browser/wakeful-clock.ts';

const own = pageClock();
let isHidden: boolean;
let wakers: (Waker & { isOver: boolean })[];

/** The real thread. */
function spawn(): Waker {
  const thread = new Worker(new URL('../../../web/browser/waker.ts', import.meta.url), { type: 'module' });
  const worker = Object.assign(thread, { isOver: false });
  const terminate = worker.terminate.bind(worker);
  worker.terminate = () => {
    worker.isOver = true;
    terminate();
  };
  wakers.push(worker);
  return worker;
}

function show(hidden: boolean): void {
  isHidden = hidden;
  document.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(() => {
  [isHidden, wakers] = [false, []];
});
afterEach(() => wakers.forEach((waker) => waker.terminate()));

/** A page whose own timers the browser holds back for ever, to the eye of a test. */
function heldBack(spawnWaker: () => Waker = spawn): WakefulClock {
  return new WakefulClock({
    own: { ...own, setTimer: () => () => undefined },
    spawn: spawnWaker,
    isHidden: () => isHidden,
  });
}

test('a page that somebody looks at has timers of its own, and no thread', async () => {
  const clock = new WakefulClock({ own, spawn, isHidden: () => isHidden });
  await new Promise<void>((resolve) => clock.setTimer(resolve, 1));
  expect(wakers).toEqual([]);
});

test('the timers of a hidden page come in time and in order, those from before it was hidden too', async () => {
  const clock = heldBack();
  const came: string[] = [];
  const startMs = clock.nowMs();
  clock.setTimer(() => came.push('second'), 60);
  clock.setTimer(() => came.push('taken back'), 40)();
  show(true);
  clock.setTimer(() => came.push('first'), 30);
  await new Promise<void>((resolve) => clock.setTimer(resolve, 90));
  expect(came).toEqual(['first', 'second']);
  expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(89);
  expect(wakers).toHaveLength(1);
});

test('the thread ends when somebody looks at the page again', async () => {
  const clock = heldBack();
  show(true);
  const came = vi.fn();
  clock.setTimer(came, 60_000);
  show(false);
  expect(wakers.map(({ isOver }) => isOver)).toEqual([true]);
});

test('a timer comes once, by whichever comes first', async () => {
  const clock = new WakefulClock({ own, spawn, isHidden: () => isHidden });
  show(true);
  const came = vi.fn();
  clock.setTimer(came, 20);
  await new Promise<void>((resolve) => clock.setTimer(resolve, 60));
  expect(came).toHaveBeenCalledTimes(1);
});

test('where there can be no thread the browser’s own timers do', async () => {
  const clock = new WakefulClock({
    own,
    isHidden: () => true,
    spawn: () => {
      throw new Error('workers are forbidden here');
    },
  });
  await new Promise<void>((resolve) => clock.setTimer(resolve, 1));
});
