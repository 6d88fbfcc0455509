import { describe, expect, it } from 'vitest';
import { describeClock, ServerClock } from '#shared/clock.ts';
import { CLOCK_SKEW_MS } from '#shared/limits.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('a clock by the server’s time of day', () => {
  it('is the device’s own before the server was heard, and of its durations always', async () => {
    const own = new FakeClock();
    const clock = new ServerClock(own);
    await own.advance(5);
    expect([clock.wallMs(), clock.nowMs(), clock.aheadMs]).toEqual([own.wallMs(), 5, null]);
    clock.hear(0);
    await own.advance(7);
    expect([clock.wallMs(), clock.nowMs()]).toEqual([7, 12]);
  });

  it('does not go back for what it hears late, but does where the server’s own clock was set back', async () => {
    const own = new FakeClock();
    const clock = new ServerClock(own);
    clock.hear(1_000_000);
    await own.advance(2_000);
    clock.hear(1_000_500);
    expect(clock.wallMs()).toBe(1_002_000);
    clock.hear(1_003_000);
    expect(clock.wallMs()).toBe(1_003_000);
    clock.hear(900_000);
    expect(clock.wallMs()).toBe(900_000);
  });

  it('does not jump when the device’s own is set', () => {
    let wallMs = 1_000_000;
    const clock = new ServerClock({ wallMs: () => wallMs, nowMs: () => 3, setTimer: () => () => undefined });
    clock.hear(50);
    wallMs = 0;
    expect([clock.wallMs(), clock.aheadMs]).toEqual([50, -50]);
  });
});

describe('words for a clock', () => {
  it.each([
    [null, null],
    [CLOCK_SKEW_MS, null],
    [-CLOCK_SKEW_MS, null],
    [90_000, '90 seconds ahead of the server’s'],
    [-3 * 60_000, '3 minutes behind the server’s'],
    [21 * 60_000 + 400, '21 minutes ahead of the server’s'],
    [-3 * 3_600_000, '3 hours behind the server’s'],
    [20_000 * 86_400_000, '20000 days ahead of the server’s'],
  ])('%s: %s', (aheadMs, words) => {
    expect(describeClock(aheadMs)).toBe(words);
  });
});
