import { describe, expect, it } from 'vitest';
import { createRepeater } from '../../../signal-server/machine/repeater.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('the repeater', () => {
  it('goes on after a task failed, and reports it', async () => {
    const clock = new FakeClock();
    const errors: unknown[] = [];
    const { every } = createRepeater(clock, (error) => errors.push(error));
    let turns = 0;
    every(10, () => {
      turns += 1;
      if (turns === 1) throw new Error('once');
    });
    await clock.advance(35);
    expect(turns).toBe(3);
    expect(errors).toHaveLength(1);
  });

  it('leaves no timer behind, even of a task that is running when it stops', async () => {
    const clock = new FakeClock();
    const { every, stopAll } = createRepeater(clock, () => undefined);
    let end = (): void => undefined;
    every(10, () => new Promise<void>((resolve) => (end = resolve)));
    every(15, () => undefined);
    await clock.advance(10);
    stopAll();
    end();
    await clock.advance(100);
    expect(clock.pendingTimers).toBe(0);
  });
});
