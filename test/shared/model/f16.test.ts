import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';

/** The value of f16 bits by the formula of IEEE 754 section 3.4, in doubles. */
function valueOf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const finite = Array.from({ length: 0x7c00 }, (_, half) => valueOf(half));

/** The nearest f16 by search among all of them, ties to even. */
function nearestHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  // The midpoint between the largest finite value and where the next would be.
  if (magnitude >= 65_520) return sign | 0x7c00;
  let low = 0;
  let high = finite.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((finite[middle] as number) <= magnitude) low = middle;
    else high = middle - 1;
  }
  const below = magnitude - (finite[low] as number);
  const above = (finite[low + 1] ?? 65_536) - magnitude;
  if (above < below || (above === below && low % 2 === 1)) low++;
  return sign | low;
}

function f32FromBits(bits: number): Float32Array {
  return new Float32Array(Uint32Array.of(bits).buffer);
}

function u16At(bytes: Uint8Array, index: number): number {
  return (bytes[2 * index] as number) | ((bytes[2 * index + 1] as number) << 8);
}

const allHalves = new Uint8Array(Uint16Array.from({ length: 0x10000 }, (_, half) => half).buffer);

describe('f16 rows', () => {
  it('decodes all 65,536 values as the standard defines them', () => {
    const values = decodeF16(allHalves);
    for (let half = 0; half < 0x10000; half++) {
      if (!Object.is(values[half], valueOf(half))) throw new Error(`half ${half} decodes to ${values[half]}`);
    }
  });

  it('gives all 65,536 values back unchanged, signs of zero and NaN payloads included', () => {
    expect(encodeF16(decodeF16(allHalves))).toEqual(allHalves);
  });

  it('rounds any f32 bit pattern to the nearest f16, ties to even', () => {
    const bits = fc.integer({ min: 0, max: 0xffffffff });
    // Exponents around the range of f16, where rounding, underflow and overflow happen.
    const near = fc
      .tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 98, max: 145 }), fc.integer({ min: 0, max: 0x7fffff }))
      .map(([sign, exponent, fraction]) => ((sign << 31) | (exponent << 23) | fraction) >>> 0);
    fc.assert(
      fc.property(fc.oneof(bits, near), (pattern) => {
        const values = f32FromBits(pattern);
        const half = u16At(encodeF16(values), 0);
        const value = values[0] as number;
        if (Number.isNaN(value)) expect((half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0).toBe(true);
        else expect(half).toBe(nearestHalf(value));
      }),
      { numRuns: 20_000 },
    );
  });

  it('rounds every midpoint between neighbours to the even one, and its neighbours away from it', () => {
    for (let half = 0; half < 0x7bff; half++) {
      const middle = ((finite[half] as number) + (finite[half + 1] as number)) / 2;
      const values = Float32Array.of(middle, nextF32(middle, -1), nextF32(middle, 1));
      const bytes = encodeF16(values);
      expect([u16At(bytes, 0), u16At(bytes, 1), u16At(bytes, 2)]).toEqual([half + (half % 2), half, half + 1]);
    }
  });

  it('reads and writes rows that begin anywhere in a buffer', () => {
    const bytes = new Uint8Array([9, 0x00, 0x3c, 0x01, 0x00]).subarray(1);
    expect([...decodeF16(bytes)]).toEqual([1, 2 ** -24]);
    expect([...encodeF16(Float32Array.of(7, 1, -2).subarray(1))]).toEqual([0x00, 0x3c, 0x00, 0xc0]);
  });

  it('refuses an odd number of bytes', () => {
    expect(() => decodeF16(new Uint8Array(3))).toThrow(RangeError);
  });
});

function nextF32(value: number, step: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return f32FromBits((bits[0] as number) + step)[0] as number;
}
