import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exp, ln } from '#shared/rows/exact-math.ts';
import vectors from '../../vectors/sampler.json' with { type: 'json' };

const words = new DataView(new ArrayBuffer(8));

function bitsOf(value: number): string {
  words.setFloat64(0, value);
  return words.getBigUint64(0).toString(16).padStart(16, '0');
}

/** How many doubles lie between two of one sign. */
export function ulps(a: number, b: number): number {
  const at = (value: number) => BigInt(`0x${bitsOf(value)}`);
  const apart = at(a) - at(b);
  return Number(apart < 0n ? -apart : apart);
}

describe.each([
  ['ln', ln, vectors.ln],
  ['exp', exp, vectors.exp],
] as const)('%s', (_, compute, cases) => {
  it('is the nearest double or the one beside it', () => {
    for (const { x, near } of cases) expect(ulps(compute(x), near)).toBeLessThanOrEqual(1);
  });

  it('has the bits that another program of the same steps gives', () => {
    for (const { x, bits } of cases) expect(bitsOf(compute(x))).toBe(bits);
  });
});

describe('beside the functions of the platform, at most two doubles apart,', () => {
  it('is the logarithm', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -54, max: 1e6, noNaN: true }), (x) => ulps(ln(x), Math.log(x)) <= 2),
      { numRuns: 2000 },
    );
  });

  it('is the exponential', () => {
    fc.assert(
      fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => ulps(exp(x), Math.exp(x)) <= 2),
      { numRuns: 2000 },
    );
  });
});

describe('at its ends', () => {
  it.each([0, -1, NaN, Infinity, 2 ** -1030])('the logarithm refuses %d', (x) => {
    expect(() => ln(x)).toThrow(RangeError);
  });

  it('the exponential is nothing far below, and infinite far above', () => {
    expect([exp(-701), exp(701), exp(-Infinity)]).toEqual([0, Infinity, 0]);
    expect(exp(NaN)).toBeNaN();
  });
});
