import { beforeEach, describe, expect, it } from 'vitest';
import { FaultMemory } from '../../../signal-server/trust/fault-memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const [requester, other, volunteer] = [idOf('a'), idOf('b'), idOf('1')];
const times = { faultMemoryMs: 60_000, stallMemoryMs: 5_000 };

describe('what a requester remembers of a volunteer', () => {
  let clock: FakeClock;
  let memory: FaultMemory;
  beforeEach(() => {
    clock = new FakeClock();
    memory = new FaultMemory(clock, times);
  });

  /** How long it is remembered from now on. */
  async function heldMs(): Promise<number> {
    for (let ms = 0; ; ms += 1_000) {
      if (!memory.failedLately(requester, volunteer)) return ms;
      await clock.advance(1_000);
      memory.prune();
    }
  }

  it('is a failure, for a minute, and for its own routes alone', async () => {
    memory.failed(requester, volunteer);
    expect(memory.failedLately(other, volunteer)).toBe(false);
    expect(await heldMs()).toBe(60_000);
    memory.failed(requester, volunteer);
    expect(await heldMs()).toBe(60_000);
  });

  it('is a stall, for five seconds, and for twice as long each time, up to a minute', async () => {
    const held: number[] = [];
    for (let stall = 0; stall < 6; stall++) {
      memory.stalled(requester, volunteer);
      held.push(await heldMs());
    }
    expect(held).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });

  it('starts anew after ten minutes without a stall', async () => {
    memory.stalled(requester, volunteer);
    memory.stalled(requester, volunteer);
    await clock.advance(599_000);
    memory.prune();
    memory.stalled(requester, volunteer);
    expect(await heldMs()).toBe(20_000);
    await clock.advance(600_000);
    memory.stalled(requester, volunteer);
    expect(await heldMs()).toBe(5_000);
  });

  it('is no shorter for a stall after a failure', async () => {
    memory.failed(requester, volunteer);
    memory.stalled(requester, volunteer);
    expect(await heldMs()).toBe(60_000);
  });

  it('ends at 256 volunteers', () => {
    const many = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(64, '0') as typeof volunteer);
    for (const id of many) memory.failed(requester, id);
    memory.failed(requester, 'f'.repeat(64) as typeof volunteer);
    expect(memory.failedLately(requester, many[255]!)).toBe(true);
    expect(memory.failedLately(requester, 'f'.repeat(64) as typeof volunteer)).toBe(false);
  });
});
