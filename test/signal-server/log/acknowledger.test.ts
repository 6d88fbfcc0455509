import { beforeEach, describe, expect, it } from 'vitest';
import { Acknowledger } from '../../../signal-server/log/acknowledger.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

const origin = 'log.example';

describe('the size of a log that has been acknowledged', () => {
  let clock: FakeClock;
  let size: number;
  let failures: Error[];
  let written: number[];
  let told: unknown[];
  let acknowledger: Acknowledger;

  beforeEach(() => {
    clock = new FakeClock();
    size = 0;
    [failures, written, told] = [[], [], []];
    const acknowledged = {
      read: () => written.at(-1) ?? 0,
      largest: () => null,
      write: async (_origin: string, given: number): Promise<void> => {
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        written.push(given);
      },
    };
    const onError = (error: unknown): void => void told.push(error);
    acknowledger = new Acknowledger(() => ({ origin, size }), { acknowledged, clock, onError });
  });

  it('is put on record a second after the log has grown, with all that came until then', async () => {
    size = 1;
    acknowledger.grown();
    await clock.advance(999);
    size = 5;
    acknowledger.grown();
    expect(written).toEqual([]);
    await clock.advance(1);
    expect([written, clock.pendingTimers]).toEqual([[5], 0]);
  });

  it('is tried again where the disk does not take it, and every failure is told', async () => {
    const full = new Error('the disk is full');
    failures.push(full, full);
    size = 3;
    acknowledger.grown();
    await clock.advance(1_000);
    await settle();
    await clock.advance(1_000);
    await settle();
    expect([written, told]).toEqual([[], [full, full]]);
    await clock.advance(1_000);
    expect([written, told.length, clock.pendingTimers]).toEqual([[3], 2, 0]);
  });

  it('is written a last time at the end, and not tried again after it', async () => {
    const full = new Error('the disk is full');
    size = 2;
    acknowledger.grown();
    await acknowledger.stop();
    expect([written, clock.pendingTimers]).toEqual([[2], 0]);
    failures.push(full);
    await expect(acknowledger.stop()).rejects.toBe(full);
    acknowledger.grown();
    expect(clock.pendingTimers).toBe(0);
  });
});
