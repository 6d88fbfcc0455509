import { expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { RUN_TIMEOUT_MS } from '#shared/limits.ts';
import { pacedCompute } from '#shared/peer/volunteer/paced-compute.ts';
import type { RunRequest } from '#shared/rows/compute.ts';
import { encodeTokens } from '#shared/rows/rows.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ToyCompute } from '../../../support/toy-model.ts';
import { toyRanges } from '../../../support/toy-network.ts';

const sessions = ['0', '1'].map((digit) => digit.repeat(32) as SessionId);
const request = (session: SessionId, start: number): RunRequest => ({
  session,
  input: { kind: 'tokens', start, count: 1, bytes: encodeTokens([1]) },
  logitsFrom: 0,
});

async function setUp(first: number) {
  const clock = new FakeClock();
  const compute = new ToyCompute(toyRanges[0]!, clock);
  compute.runMs = 10;
  const lent = { share: first };
  const paced = pacedCompute(compute, clock, () => lent.share);
  for (const session of sessions) await paced.open(session, 64);
  const done: { atMs: number; queueUs: number }[] = [];
  const run = (session: SessionId, start: number) =>
    paced.run(request(session, start)).then(({ timings }) => {
      done.push({ atMs: clock.nowMs(), queueUs: timings.queueUs });
    });
  return { clock, compute, paced, lent, done, run };
}

it('rests after each run, of whatever session, and says so as waiting', async () => {
  const { clock, done, run } = await setUp(0.25);
  void run(sessions[0]!, 0);
  void run(sessions[1]!, 0);
  void run(sessions[0]!, 1);
  await clock.advance(200);
  expect(done).toEqual([
    { atMs: 10, queueUs: 0 },
    { atMs: 50, queueUs: 40_000 },
    { atMs: 90, queueUs: 80_000 },
  ]);
});

it('does not rest for what came after the pause', async () => {
  const { clock, done, run } = await setUp(0.5);
  void run(sessions[0]!, 0);
  await clock.advance(100);
  void run(sessions[0]!, 1);
  await clock.advance(100);
  expect(done).toEqual([
    { atMs: 10, queueUs: 0 },
    { atMs: 110, queueUs: 0 },
  ]);
});

it('rests no longer than a run that waits may take', async () => {
  const { clock, compute, done, run } = await setUp(0.25);
  compute.runMs = 0.26 * RUN_TIMEOUT_MS;
  await Promise.all([run(sessions[0]!, 0), clock.advance(compute.runMs)]);
  const askedAtMs = clock.nowMs();
  void run(sessions[0]!, 1);
  await clock.advance(2 * RUN_TIMEOUT_MS);
  expect(done[1]!.atMs - askedAtMs).toBeGreaterThan(2 * compute.runMs);
  expect(done[1]!.atMs - askedAtMs).toBeLessThan(RUN_TIMEOUT_MS);
});

it('rests less the more runs wait, also where they come during the pause', async () => {
  const { clock, compute, done, run } = await setUp(0.25);
  compute.runMs = 0.15 * RUN_TIMEOUT_MS;
  const order = [0, 1, 0, 1, 0, 1].map((session) => sessions[session]!);
  order.slice(0, 3).forEach((session, i) => void run(session, Math.floor(i / 2)));
  await clock.advance(compute.runMs + 1);
  order.slice(3).forEach((session, i) => void run(session, Math.floor((i + 3) / 2)));
  await clock.advance(4 * RUN_TIMEOUT_MS);
  expect(done).toHaveLength(6);
  expect(done.slice(0, 3).every(({ atMs }) => atMs < RUN_TIMEOUT_MS)).toBe(true);
  expect(done.at(-1)!.atMs - compute.runMs - 1).toBeLessThan(RUN_TIMEOUT_MS);
});

it('goes on after a run that failed', async () => {
  const { clock, done, run } = await setUp(0.5);
  const failed = expect(run(sessions[0]!, 7)).rejects.toMatchObject({ code: 'gap' });
  void run(sessions[1]!, 0);
  await clock.advance(100);
  await failed;
  expect(done).toEqual([{ atMs: 30, queueUs: 20_000 }]);
});

it('hands every run on at once where all the time is lent', async () => {
  const { clock, done, run } = await setUp(1);
  void run(sessions[0]!, 0);
  void run(sessions[1]!, 0);
  await clock.advance(10);
  expect(done.map(({ queueUs }) => queueUs)).toEqual([0, 0]);
});

it('rests for the share that is lent by then', async () => {
  const { clock, lent, done, run } = await setUp(1);
  void run(sessions[0]!, 0);
  await clock.advance(20);
  lent.share = 0.25;
  void run(sessions[0]!, 1);
  void run(sessions[0]!, 2);
  await clock.advance(100);
  lent.share = 1;
  void run(sessions[0]!, 3);
  void run(sessions[1]!, 0);
  await clock.advance(100);
  expect(done.map(({ queueUs }) => queueUs)).toEqual([0, 0, 40_000, 0, 0]);
});
