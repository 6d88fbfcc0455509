import { describe, expect, it } from 'vitest';
import { largestRowError } from '../../worker/probe.ts';

describe('the difference of a row', () => {
  const errorOf = (actual: number[], expected: number[]): number =>
    largestRowError(Float32Array.from(actual), Float32Array.from(expected), 2, 0, expected.length / 2);

  it('is relative to the length of the row that is expected, and the largest counts', () => {
    expect(errorOf([3, 4, 0, 10], [3, 4, 0, 8])).toBeCloseTo(0.25);
  });

  it('is nothing where a row of zeros comes out as zeros', () => {
    expect(errorOf([0, 0, 3, 4], [0, 0, 3, 4])).toBe(0);
  });

  it('has no limit where a row of zeros does not, or where it is no number', () => {
    expect(errorOf([0, 1e-9], [0, 0])).toBe(Infinity);
    expect(errorOf([NaN, 0], [0, 0])).toBe(Infinity);
  });
});
