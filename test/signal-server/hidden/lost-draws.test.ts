import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import {
  DrawSum,
  FALSE_ALARM_TOKENS,
  HONEST_RATE,
  honestRateOf,
  LostDraws,
  STEERED_RATE,
} from '../../../signal-server/hidden/lost-draws.ts';

const test = { honestRate: HONEST_RATE, steeredRate: STEERED_RATE, falseAlarmTokens: FALSE_ALARM_TOKENS };
const key = 'a'.repeat(64) as PeerId;

/** Numbers in [0, 1) that are the same each time (xorshift32). */
function chanceFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Tokens until the key is found, `most` if it is not. */
function tokensUntilFound(rate: number, most: number, chance: () => number, looked = test): number {
  const sum = new DrawSum(looked);
  for (let token = 1; token <= most; token++) {
    if (sum.add({ drawn: 1, lost: chance() < rate ? 1 : 0 })) return token;
  }
  return most;
}

describe('lost draws', () => {
  it('find one who steers one token in a hundred within 4,000 tokens, in 99 of 100 times', () => {
    const chance = chanceFrom(7);
    const found = Array.from({ length: 2_000 }, () => tokensUntilFound(HONEST_RATE + STEERED_RATE, 1e6, chance));
    found.sort((a, b) => a - b);
    expect(found[1_000]).toBeLessThan(1_600);
    expect(found[1_980]).toBeLessThanOrEqual(4_000);
  });

  it('find one of a pair that loses next to none within 1,000 tokens, in 99 of 100 times', () => {
    const chance = chanceFrom(5);
    const honestRate = honestRateOf(ENGINE_CLASS, 'wasm', true)!;
    const rate = honestRate + STEERED_RATE;
    const found = Array.from({ length: 2_000 }, () => tokensUntilFound(rate, 1e6, chance, { ...test, honestRate }));
    found.sort((a, b) => a - b);
    expect(found[1_000]).toBeLessThan(300);
    expect(found[1_980]).toBeLessThanOrEqual(1_000);
  });

  it('find one who begins to steer after long honest work as soon', () => {
    const sum = new DrawSum(test);
    for (let i = 0; i < 100; i++) expect(sum.add({ drawn: 1_000, lost: 1 })).toBe(false);
    let tokens = 0;
    while (!sum.add({ drawn: 100, lost: 1 })) tokens += 100;
    expect(tokens).toBeLessThan(3_000);
  });

  it('accuse no honest key in twenty million tokens at the very rate that was measured', () => {
    const chance = chanceFrom(11);
    const sum = new DrawSum(test);
    let alarms = 0;
    // In answers of 50 tokens, whose lost draws are counted first: the order that accuses soonest.
    for (let i = 0; i < 400_000; i++) {
      let lost = 0;
      for (let token = 0; token < 50; token++) if (chance() < HONEST_RATE) lost += 1;
      if (sum.add({ drawn: 50, lost })) alarms += 1;
    }
    // Two are the mean that the limit allows.
    expect(alarms).toBeLessThanOrEqual(2);
  });

  it('accuse nobody who loses none, and everybody who loses one where bits must be equal', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 500 })), (answers) => {
        const draws = new LostDraws();
        for (const drawn of answers) {
          expect(draws.add(key, 'exact', 0, { drawn, lost: 0 })).toBe(false);
          expect(draws.add(key, 'other', HONEST_RATE, { drawn, lost: 0 })).toBe(false);
        }
        expect(draws.add(key, 'exact', 0, { drawn: 1, lost: 1 })).toBe(true);
      }),
    );
  });

  it('never accuse sooner for losing less, or for drawing more besides', () => {
    const answer = fc.record({
      drawn: fc.integer({ min: 1, max: 60 }),
      fewer: fc.nat({ max: 3 }),
      more: fc.nat({ max: 60 }),
    });
    const lost = fc.nat({ max: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(answer, lost), { maxLength: 60 }), (answers) => {
        const [worse, better] = [new DrawSum(test), new DrawSum(test)];
        for (const [{ drawn, fewer, more }, count] of answers) {
          const isBetterFound = better.add({ drawn: drawn + 3 + more, lost: Math.max(0, count - fewer) });
          if (worse.add({ drawn: drawn + 3, lost: count })) return;
          expect(isBetterFound).toBe(false);
        }
      }),
    );
  });

  it('say nothing of a pair that nobody measured, and keep keys and pairs apart', () => {
    const draws = new LostDraws();
    expect(draws.add(key, 'unknown', null, { drawn: 100, lost: 100 })).toBe(false);
    const found = [key, 'b'.repeat(64) as PeerId].map((id) => {
      for (let lost = 1; ; lost++) if (draws.add(id, 'pair', HONEST_RATE, { drawn: 1, lost: 1 })) return lost;
    });
    expect(found[0]).toBe(found[1]);
    expect(found[0]).toBeGreaterThan(3);
  });

  it('are held against the rate of their pair: none of the engine, of others what was measured', () => {
    const [gpu, runtime] = ['webgpu/nvidia/ampere', 'wasm'];
    expect(honestRateOf(ENGINE_CLASS, ENGINE_CLASS, false)).toBe(0);
    expect(honestRateOf(runtime, runtime, true)).toBe(HONEST_RATE);
    expect(honestRateOf(ENGINE_CLASS, gpu, true)).toBe(HONEST_RATE);
    expect(honestRateOf(runtime, ENGINE_CLASS, true)).toBeCloseTo(1 / 54_000);
    expect(honestRateOf(ENGINE_CLASS, gpu, false)).toBeNull();
  });
});
