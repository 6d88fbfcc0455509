import { describe, expect, it } from 'vitest';
import { coversModel, describeRange, fitsModel } from '#shared/model/stage.ts';
import {
  coverageOf,
  describeSpan,
  firstGap,
  rangeOf,
  spanOf,
  stageGrid,
} from '../../../signal-server/placement/stage-grid.ts';

describe('spans and ranges', () => {
  it('turn into each other without loss for every span of a model', () => {
    const layers = 6;
    for (let start = 0; start < layers + 2; start++) {
      for (let end = start + 1; end <= layers + 2; end++) {
        const range = rangeOf({ start, end }, layers);
        expect(fitsModel(range, layers)).toBe(true);
        expect(spanOf(range)).toEqual({ start, end });
      }
    }
  });

  it.each([
    [{ start: 0, end: 1 }, 'embedding'],
    [{ start: 0, end: 3 }, 'embedding + layers 0–1'],
    [{ start: 1, end: 3 }, 'layers 0–1'],
    [{ start: 5, end: 8 }, 'layers 4–5 + head'],
    [{ start: 7, end: 8 }, 'head'],
  ])('name the parts of %o', (span, text) => {
    expect(describeRange(rangeOf(span, 6))).toBe(text);
  });
});

describe('the stage grid', () => {
  const layerCounts = [1, 2, 3, 7, 8, 28];

  it.each(layerCounts)('has only nested or disjoint spans for %i layers', (layers) => {
    for (const minStages of [1, 2, 3, 5].filter((least) => least <= layers + 2)) {
      const grid = stageGrid(new Array<number>(layers + 2).fill(1), minStages);
      for (const a of grid) {
        for (const b of grid) {
          const isDisjoint = a.end <= b.start || b.end <= a.start;
          const isNested = (a.start <= b.start && b.end <= a.end) || (b.start <= a.start && a.end <= b.end);
          expect(isDisjoint || isNested).toBe(true);
        }
      }
    }
  });

  it.each(layerCounts)('tiles a model of %i layers with exactly minStages largest spans', (layers) => {
    for (const minStages of [1, 2, 3, 5].filter((least) => least <= layers + 2)) {
      const grid = stageGrid(new Array<number>(layers + 2).fill(1), minStages);
      const largest = grid.filter(
        (span) => !grid.some((other) => other !== span && other.start <= span.start && span.end <= other.end),
      );
      const ranges = [...largest].sort((a, b) => a.start - b.start).map((span) => rangeOf(span, layers));
      expect(ranges).toHaveLength(minStages);
      expect(coversModel(ranges, layers)).toBe(true);
    }
  });

  it('goes down to single units', () => {
    const singles = stageGrid([1, 1, 1, 1, 1, 1], 2).filter((span) => span.end - span.start === 1);
    expect(singles.map((span) => span.start).sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('cuts where the cost is even, not where the count is', () => {
    expect(stageGrid([1, 1, 1, 1, 1, 5], 2)).toContainEqual({ start: 0, end: 5 });
  });
});

describe('coverage', () => {
  it('counts the spans that hold each unit', () => {
    const spans = [
      { start: 0, end: 2 },
      { start: 1, end: 4 },
    ];
    expect(coverageOf(spans, 5)).toEqual([1, 2, 1, 1, 0]);
  });

  it('finds the first gap from its first unit to its last', () => {
    expect(firstGap([1, 0, 0, 2, 0])).toEqual({ start: 1, end: 3 });
    expect(firstGap([1, 1])).toBeNull();
    expect(firstGap([1, 0])).toEqual({ start: 1, end: 2 });
  });

  it.each([
    [{ start: 0, end: 10 }, 'the embedding and layers 0 to 7 and the head'],
    [{ start: 3, end: 6 }, 'layers 2 to 4'],
    [{ start: 9, end: 10 }, 'the head'],
  ])('is named for people: %o', (span, text) => {
    expect(describeSpan(span, 8)).toBe(text);
  });
});
