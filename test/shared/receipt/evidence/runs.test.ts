import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '#shared/bytes.ts';
import type { FedRun } from '#shared/receipt/evidence/evidence.ts';
import { packRuns, shapeOf, undrawnTokens, unpackRuns, wantedLogits } from '#shared/receipt/evidence/runs.ts';
import { ShapeChain } from '#shared/rows/row-chain.ts';
import { codeOf } from '../../../support/code-of.ts';

const run = (start: number, count: number, logits = 0): FedRun => ({ start, count, logits });

/** Runs of which some begin after a cut into the one before. */
const someRuns = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat(3), fc.nat(1000)), { minLength: 1, maxLength: 30 })
  .map((steps) => {
    const runs: FedRun[] = [];
    for (const [count, logits, cut] of steps) {
      const last = runs.at(-1) ?? run(-1, 1);
      const start = cut % 3 === 0 ? last.start + 1 + (cut % last.count) : last.start + last.count;
      runs.push(run(start, count, Math.min(logits, count)));
    }
    return runs;
  });
const endOf = (runs: readonly FedRun[]): number => runs.at(-1)!.start + runs.at(-1)!.count;

describe('the runs of a receipt', () => {
  it('come back as they were packed, cuts and all', () => {
    fc.assert(
      fc.property(someRuns, (runs) => {
        expect(unpackRuns(packRuns(runs), endOf(runs))).toEqual(runs);
      }),
    );
  });

  it('are few lines where they are alike', () => {
    const runs = [run(0, 32), run(32, 8, 1), ...Array.from({ length: 50 }, (_, i) => run(40 + i, 1, 1))];
    expect(packRuns(runs)).toEqual([
      { start: 0, count: 32, logits: 0, times: 1 },
      { start: 32, count: 8, logits: 1, times: 1 },
      { start: 40, count: 1, logits: 1, times: 50 },
    ]);
  });

  it('have the chain that a replica has, also after a cut', () => {
    const shapes = new ShapeChain();
    shapes.append(0, 32);
    shapes.append(32, 8);
    shapes.append(40, 1);
    shapes.cut(35);
    shapes.append(35, 10);
    expect(shapeOf([run(0, 32), run(32, 8), run(35, 10)])).toBe(toHex(shapes.at(45)));
  });

  it('say whose logits were asked for, of what a cut left', () => {
    const wanted = wantedLogits([run(0, 4, 1), run(4, 3, 3), run(5, 2, 1)], 7);
    expect(wanted).toEqual([false, false, false, true, true, false, true]);
  });

  it('say it of each position as the last run that had it', () => {
    fc.assert(
      fc.property(someRuns, (runs) => {
        const expected = Array.from({ length: endOf(runs) }, (_, at) => {
          const { start, count, logits } = runs.findLast((each) => each.start <= at && at < each.start + each.count)!;
          return at >= start + count - logits;
        });
        expect(wantedLogits(runs, endOf(runs))).toEqual(expected);
      }),
    );
  });

  it('say which tokens of an answer were fed and not drawn', () => {
    const undrawn = (runs: FedRun[], positions: number) =>
      undrawnTokens({
        ...{ runs: packRuns(runs), positions },
        request: { tokens: { prompt: 4, answer: 4, sha256: '' } } as never,
      });
    const drawn = [run(0, 4, 1), run(4, 1, 1), run(5, 1, 1), run(6, 1, 1)];
    expect([undrawn(drawn, 7), undrawn([...drawn, run(7, 1, 0)], 8)]).toEqual([0, 0]);
    expect([undrawn([run(0, 7, 1)], 7), undrawn([run(0, 6, 1), run(6, 1, 1)], 7)]).toEqual([3, 2]);
  });

  it.each([
    [
      'a gap',
      [
        { start: 0, count: 4, logits: 0, times: 1 },
        { start: 5, count: 4, logits: 0, times: 1 },
      ],
    ],
    [
      'a run taken back',
      [
        { start: 0, count: 4, logits: 0, times: 1 },
        { start: 0, count: 9, logits: 0, times: 1 },
      ],
    ],
    ['too few positions', [{ start: 0, count: 4, logits: 0, times: 1 }]],
    ['more than there are', [{ start: 0, count: 1, logits: 0, times: 131_072 }]],
    ['logits of nothing', [{ start: 0, count: 9, logits: 10, times: 1 }]],
  ])('cannot have %s', (_, packed) => {
    expect(codeOf(() => unpackRuns(packed, 9))).toBe('bad-message');
  });
});
