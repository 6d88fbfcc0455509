import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { isExactClass } from '#shared/judge/numeric-class.ts';
import type { Candidate, Demand } from '../../../signal-server/routing/candidate.ts';
import { RouteDraw } from '../../../signal-server/routing/draw-route.ts';
import { Draw } from '../../../signal-server/routing/draw.ts';
import { hopMs, predictedMs, turnMs } from '../../../signal-server/routing/pace.ts';
import { planRoute } from '../../../signal-server/routing/scheduler.ts';
import { ShadowPool } from '../../../signal-server/routing/shadows.ts';
import { createRandom } from '../../support/synthetic-weights.ts';
import { candidate, demand, primaries, replicasOf } from '../../support/candidates.ts';
import { normal } from '../../support/normal.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

const LAYERS = 8;
const ROUTES = 2000;

/** The share of routes that have a stage whose replicas are all in league. */
function inLeague(candidates: readonly Candidate[], demanded: Partial<Demand> = {}, seed = 1): number {
  const draw = new Draw(seededBytes(seed));
  let lost = 0;
  for (let i = 0; i < ROUTES; i++) {
    const planned = planRoute(LAYERS, { ...demand, shadows: 1, ...demanded }, candidates, draw);
    const isLost = replicasOf(planned).some((ids) => ids.every((id) => id.startsWith('liar')));
    if (isLost) lost += 1;
  }
  return lost / ROUTES;
}

/** What chance gives: both of two replicas, and the third in the eighth of routes that have one, of k in league among n. */
function chanceOf(k: number, n: number): number {
  return ((k * (k - 1)) / (n * (n - 1))) * (7 / 8 + (1 / 8) * Math.max(0, (k - 2) / (n - 2)));
}

/** Half the width of the interval that holds 95 % of such samples. */
const spreadOf = (chance: number): number => 1.96 * Math.sqrt((chance * (1 - chance)) / ROUTES);

function network(honest: number, liars: number, liar: Partial<Candidate> = {}): Candidate[] {
  const of = (name: string, count: number, overrides: Partial<Candidate>) =>
    Array.from({ length: count }, (_, i) => candidate(`${name} ${i}`, 5, 10, overrides));
  return [
    ...Array.from({ length: 4 }, (_, i) => candidate(`first ${i}`, 0, 5)),
    ...of('honest', honest, { freeSlots: 4 }),
    ...of('liar', liars, { freeSlots: 64, ...liar }),
  ];
}

describe('two in league are all replicas of a stage', () => {
  it.each([4, 8, 20])('as often as chance gives, among %d others', (honest) => {
    const chance = chanceOf(2, honest + 2);
    expect(Math.abs(inLeague(network(honest, 2)) - chance)).toBeLessThan(spreadOf(chance));
  });

  it('no more often where they take no time at all', () => {
    const chance = chanceOf(2, 6);
    expect(Math.abs(inLeague(network(4, 2, { layerMs: 0 })) - chance)).toBeLessThan(spreadOf(chance));
  });

  it('in three quarters as many routes where an anchor could be drawn besides', () => {
    const anchor = candidate('anchor', 5, 10, { isSteady: true, freeSlots: 4 });
    const chance = (3 / 4) * chanceOf(2, 7);
    expect(Math.abs(inLeague([...network(4, 2), anchor]) - chance)).toBeLessThan(spreadOf(chance));
  });

  it('never while they are new or on one network, if anybody else is there', () => {
    expect(inLeague(network(1, 2, { isNew: true }))).toBe(0);
    expect(inLeague(network(1, 2, { prefix: 'one' }))).toBe(0);
    expect(inLeague(network(1, 40, { prefix: 'one' }))).toBe(0);
  });

  it('no more often with thirty keys each on two networks than with one', () => {
    const crowd = (name: string) => Array.from({ length: 30 }, (_, i) => candidate(`liar ${name} ${i}`, 5, 10));
    const liars = ['x', 'y'].flatMap((name) => crowd(name).map((one) => ({ ...one, prefix: name })));
    const chance = chanceOf(2, 6);
    expect(Math.abs(inLeague([...network(4, 0), ...liars], {}, 2) - chance)).toBeLessThan(spreadOf(chance));
  });

  it('in a small stage of their own no more often than its share of all groups that could compute those layers', () => {
    const own = ['liar a', 'liar b'].map((id) => candidate(id, 5, 7, { layerMs: 0 }));
    const rest = ['c', 'd'].map((id) => candidate(id, 7, 10, { layerMs: 0 }));
    // 5 × 4 pairs for the half, 2 for the quarter.
    const found = inLeague([...network(5, 0).map((one) => ({ ...one, layerMs: 2.5 })), ...own, ...rest]);
    expect(Math.abs(found - 2 / 22)).toBeLessThan(spreadOf(2 / 22));
  });
});

/** Networks of up to four networks' volunteers on a grid of halves and quarters. */
const anyNetwork = fc.array(
  fc.record({
    span: fc.constantFrom<(readonly [number, number])[]>([0, 5], [5, 10], [0, 2], [2, 5], [5, 7], [7, 10]),
    prefix: fc.constantFrom('p', 'q', 'r', 's'),
    layerMs: fc.double({ min: 0, max: 20, noNaN: true }),
    running: fc.nat(3),
    freeSlots: fc.nat(2),
    isReady: fc.boolean(),
    isTried: fc.constantFrom(true, true, false),
    isNew: fc.boolean(),
    isSteady: fc.constantFrom(false, false, true),
    webrtc: fc.boolean(),
    failedLately: fc.constantFrom(false, false, true),
    numericClass: fc.constantFrom('wasm', 'webgpu/a/b'),
    isMeasured: fc.constantFrom(true, true, false),
  }),
  { minLength: 1, maxLength: 24 },
);

type Part = Omit<Partial<Candidate>, 'span'> & { readonly span: readonly [number, number] };

describe('any route', () => {
  const drawn = (parts: readonly Part[], shadows: number, seed: number) => {
    const all = parts.map(({ span, ...part }, i) =>
      candidate(`v${i}`, span[0], span[1], { ...part, isSteady: part.isSteady === true && part.isNew === false }),
    );
    const planned = planRoute(LAYERS, { ...demand, shadows }, all, new Draw(seededBytes(seed)));
    return { all, planned };
  };

  it('keeps the rules about who runs with whom', () => {
    const property = fc.property(anyNetwork, fc.nat(3), fc.nat(1e6), (parts, shadows, seed) => {
      const { all, planned } = drawn(parts, shadows, seed);
      if (planned.type !== 'route') return;
      const seen = replicasOf(planned).flat();
      expect(new Set(seen).size).toBe(seen.length);
      const hasOnePrefix = new Set(all.map(({ prefix }) => prefix)).size === 1;
      for (const { primary, shadows: others } of planned.stages) {
        const { start, end } = primary.span;
        const free = all.filter(
          (one) => one.isReady && one.isTried && one.freeSlots > 0 && one.span.start === start && one.span.end === end,
        );
        const replicas = [primary, ...others].map(({ id }) => free.find((one) => one.id === id));
        expect(replicas).not.toContain(undefined);
        const isProven = ({ isNew, isMeasured }: Candidate) => !isNew && isMeasured;
        if (shadows > 0) {
          expect(replicas.length).toBeGreaterThanOrEqual(Math.min(free.length, isProven(primary) ? 2 : 3));
          if (free.some(isProven)) expect(replicas.some((one) => isProven(one!))).toBe(true);
          const networks = new Set(replicas.map((one) => one!.prefix)).size;
          if (!hasOnePrefix && new Set(free.map(({ prefix }) => prefix)).size > 1) expect(networks).toBeGreaterThan(1);
        } else expect(others).toEqual([]);
        const exact = free.filter((one) => one.isMeasured && isExactClass(one.numericClass));
        if (exact.length > 0) expect(primary.isMeasured).toBe(true);
      }
    });
    fc.assert(property, { numRuns: 2000, seed: 12 });
  });

  it('is one wherever there would be one by the lowest latency', () => {
    const property = fc.property(anyNetwork, fc.nat(2), fc.nat(1e6), (parts, shadows, seed) => {
      const { all, planned } = drawn(parts, shadows, seed);
      const free = all.filter((one) => one.isReady && one.isTried && one.freeSlots > 0);
      const wish = { ...demand, shadows };
      const { quickest } = new RouteDraw(LAYERS + 2, wish, free, new ShadowPool(wish, free));
      expect(planned.type === 'route').toBe(quickest !== null);
    });
    fc.assert(property, { numRuns: 1000, seed: 12 });
  });
});

describe('a lot', () => {
  it('is a number from 0 to below 1', () => {
    expect(new Draw((count) => new Uint8Array(count)).uniform()).toBe(0);
    const most = new Draw((count) => new Uint8Array(count).fill(255)).uniform();
    expect(most).toBe(1 - 2 ** -53);
    const draw = new Draw(seededBytes(3));
    const mean = Array.from({ length: 10_000 }, () => draw.uniform()).reduce((sum, lot) => sum + lot, 0) / 10_000;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.012);
  });

  it('by weights falls on each as often as it weighs, and never on what weighs nothing', () => {
    const draw = new Draw(seededBytes(4));
    const times = [0, 0, 0];
    for (let i = 0; i < 8000; i++) times[draw.weighted([0, 1, 2], (item) => [1, 0, 3][item]!)]! += 1;
    expect(times[1]).toBe(0);
    expect(Math.abs(times[0]! - 2000)).toBeLessThan(160);
  });
});

/** The median over many networks of what a drawn route takes, for one by the lowest latency. */
function medianFactor(layerMs: number, deviation: number): number {
  const random = createRandom(7);
  const standard = normal(7);
  const draw = new Draw(seededBytes(7));
  const lapMs = (route: readonly Candidate[]): number =>
    route.reduce(
      (sum, one, i) => sum + predictedMs(one) + hopMs(one.webrtc && (route[i - 1]?.webrtc ?? demand.webrtc)),
      0,
    );
  const factors = Array.from({ length: 400 }, () => {
    const all = Array.from({ length: 24 }, (_, i) =>
      candidate(`v${i}`, i % 2 === 0 ? 0 : 5, i % 2 === 0 ? 5 : 10, {
        layerMs: layerMs * Math.exp(deviation * standard()),
        webrtc: random() < 0.8,
      }),
    );
    const wish = { ...demand, shadows: 1 };
    const routes = new RouteDraw(LAYERS + 2, wish, all, new ShadowPool(wish, all));
    return lapMs(routes.draw(draw)!) / lapMs(routes.quickest!);
  });
  return factors.sort((a, b) => a - b)[200]!;
}

describe('the time of a drawn route', () => {
  it.each([
    [0.4, 0.3, 1.15],
    [0.4, 0.8, 1.35],
    [5, 0.3, 1.5],
    [5, 0.8, 1.6],
  ])('with layers of %d ms, spread by %d: its median is at most %d times the least', (layerMs, deviation, most) => {
    expect(medianFactor(layerMs, deviation)).toBeLessThan(most);
  });

  it('is never that of a primary that takes more than twice the quickest’s and 5 ms', () => {
    const property = fc.property(
      fc.array(fc.double({ min: 0, max: 50, noNaN: true }), { minLength: 1, maxLength: 12 }),
      fc.nat(1e6),
      (times, seed) => {
        const all = [...times.map((layerMs, i) => candidate(`v${i}`, 0, 5, { layerMs })), candidate('end', 5, 10)];
        const planned = planRoute(LAYERS, demand, all, new Draw(seededBytes(seed)));
        const [first] = primaries(planned);
        const chosen = all.find(({ id }) => id === (first as PeerId))!;
        expect(turnMs(chosen)).toBeLessThanOrEqual(2 * Math.min(...all.slice(0, -1).map(turnMs)) + 5);
      },
    );
    fc.assert(property, { numRuns: 500, seed: 12 });
  });
});
