import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { Pace } from '#shared/requester/feed/pace.ts';
import type { Route } from '#shared/route/route.ts';
import { toyIdentity, ToyNetwork } from '../../../support/toy-network.ts';

/** Three stages of a class that take `predictedMs` each. */
function stages(predictedMs: number, numericClass = ENGINE_CLASS): Route['stages'] {
  const network = new ToyNetwork();
  network.predictedMs = predictedMs;
  for (const volunteer of network.volunteers) volunteer.numericClass = numericClass;
  return network.route(toyIdentity('requester').id, 64)!.stages;
}

describe('the time that a lap may take', () => {
  it('is three times the usual, and half a second at least', () => {
    const pace = new Pace(stages(100));
    for (const lapMs of [300, 310, 900, 290, 300]) pace.note(1, lapMs);
    expect(pace.limitMs(1, 0)).toBe(900);
    const quick = new Pace(stages(1));
    quick.note(1, 8);
    expect(quick.limitMs(1, 0)).toBe(500);
  });

  it('is no longer for volunteers that were slower than predicted from the start', () => {
    const pace = new Pace(stages(10));
    for (let lap = 0; lap < 20; lap++) pace.note(1, 5_000);
    expect(pace.limitMs(1, 0)).toBe(4 * 30 + 400);
  });

  it('is longer where replicas are far away', () => {
    const pace = new Pace(stages(1));
    for (let lap = 0; lap < 20; lap++) pace.note(1, 1_200);
    expect(pace.limitMs(1, 300)).toBeGreaterThan(2_400);
  });

  it('is generous for the first run of a size: more so where a graphics processor may have to compile', () => {
    expect(new Pace(stages(1)).limitMs(1, 0)).toBe(1_000);
    const compiling = new Pace(stages(1, 'webgpu/nvidia/ampere'));
    expect(compiling.limitMs(32, 0)).toBe(5_000);
    compiling.note(32, 100);
    expect([compiling.limitMs(32, 0), compiling.limitMs(1, 0)]).toEqual([500, 5_000]);
  });

  it('is not longer for another size where nothing has to be compiled', () => {
    const pace = new Pace(stages(1));
    pace.note(15, 100);
    expect([pace.limitMs(15, 0), pace.limitMs(1, 0)]).toEqual([500, 500]);
  });

  it('grows with the positions of a run, and is no longer for what shorter ones took', () => {
    const pace = new Pace(stages(20));
    expect(pace.limitMs(32, 0)).toBe(4 * 60 * 32 + 400);
    const measured = new Pace(stages(0));
    measured.note(8, 600);
    expect(measured.limitMs(32, 0)).toBe(500);
  });

  it('is asked about before it is over, also where volunteers were slow from the start', () => {
    const pace = new Pace(stages(10));
    for (let lap = 0; lap < 20; lap++) pace.note(1, 1_500);
    expect(pace.askMs(1, 0)).toBe(pace.limitMs(1, 0) / 2);
    const quick = new Pace(stages(1));
    quick.note(1, 8);
    expect(quick.askMs(1, 0)).toBe(250);
    const steady = new Pace(stages(1_000));
    steady.note(1, 3_000);
    expect(steady.askMs(1, 0)).toBe(4_500);
  });

  it('is never over after laps that vary up to 2.5 times, where these are as predicted', () => {
    const laps = fc.array(fc.double({ min: 1, max: 2.5, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(fc.double({ min: 1, max: 5_000, noNaN: true }), laps, (predictedMs, factors) => {
        const pace = new Pace(stages(predictedMs));
        for (const factor of factors) {
          expect(3 * predictedMs * factor).toBeLessThanOrEqual(pace.limitMs(1, 0));
          pace.note(1, 3 * predictedMs * factor);
        }
      }),
    );
  });

  it('doubles with patience', () => {
    const pace = new Pace(stages(1), 2);
    pace.note(1, 10);
    expect(pace.limitMs(1, 0)).toBe(1_000);
    pace.lengthen();
    expect(pace.limitMs(1, 0)).toBe(2_000);
  });
});
