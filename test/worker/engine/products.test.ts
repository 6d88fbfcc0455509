import { beforeEach, describe, expect, test } from 'vitest';
import { decodeF16 } from '#shared/model/f16.ts';
import type { PackableMatrix } from '#shared/model/packable-matrix.ts';
import { packMatrix } from '../../../worker/engine/packed-matrix.ts';
import { bitsOf, EngineStand, relativeError } from '../../support/engine-stand.ts';
import { matrixKinds, randomHalves, randomMatrix } from '../../support/random-matrices.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

const COUNTS = [1, 2, 3, 8, 31, 32];
const random = createRandom(5);
let stand: EngineStand;

beforeEach(async () => {
  stand = await EngineStand.open();
});

/** x · wᵀ in double precision. */
function plainProduct(x: ArrayLike<number>, weights: Float32Array, rows: number, columns: number): Float64Array {
  const y = new Float64Array((rows * weights.length) / columns);
  const outputs = weights.length / columns;
  for (let i = 0; i < y.length; i++) {
    const [row, output] = [Math.floor(i / outputs), i % outputs];
    for (let column = 0; column < columns; column++) {
      y[i]! += x[row * columns + column]! * weights[output * columns + column]!;
    }
  }
  return y;
}

describe.each(matrixKinds)('$bits bits, scales $scales of $groupColumns columns, offsets $offsets,', (kind) => {
  test('multiply as in double precision, and each row as if it were alone', () => {
    const [rows, outputs, columns] = [32, 10, 256];
    const matrix = packMatrix(stand.memory, randomMatrix(random, kind, outputs, columns));
    const x = randomValues(random, rows * columns, 3);
    const quantized = stand.quantize(x, rows);
    const y = stand.multiply(matrix, quantized);
    expect(relativeError(y, plainProduct(stand.rounded(quantized), stand.unfold(matrix), rows, columns))).toBeLessThan(
      1e-6,
    );
    for (const count of COUNTS) {
      // The last ones, so that each row also comes at another place.
      const part = stand.multiply(matrix, stand.quantize(x.subarray((rows - count) * columns), count));
      expect(bitsOf(part), `${count} rows`).toEqual(bitsOf(y.subarray((rows - count) * outputs)));
    }
  });
});

test('the largest integers of a product do not overflow', () => {
  const columns = 64;
  const largest: PackableMatrix = {
    ...{ rows: 5, columns, bits: 8, groupColumns: 32, quants: (_, to) => to.fill(255) },
    ...{ scales: { kind: 'f32', values: new Float32Array(10).fill(1) }, offsets: { kind: 'constant', zero: 0 } },
  };
  const least: PackableMatrix = { ...largest, quants: (_, to) => to.fill(0), offsets: { kind: 'constant', zero: 255 } };
  for (const rows of [1, 2]) {
    const x = stand.quantize(new Float32Array(rows * columns).fill(32767), rows);
    for (const [matrix, sign] of [
      [largest, 1],
      [least, -1],
    ] as const) {
      const y = stand.multiply(packMatrix(stand.memory, matrix), x);
      for (const value of y) expect(value / (sign * columns * 255 * 32767)).toBeCloseTo(1, 6);
    }
  }
});

describe('activations as integers', () => {
  const roundedOf = (values: number[]): number[] => [
    ...stand.rounded(
      stand.quantize(
        Float32Array.from({ length: 32 }, (_, i) => values[i] ?? 0),
        1,
      ),
    ),
  ];
  const scaleOf = (values: number[]): number => {
    const { scales } = stand.quantize(
      Float32Array.from({ length: 32 }, (_, i) => values[i] ?? 0),
      1,
    );
    return stand.read(scales, 1)[0]!;
  };

  test('are off by half a step at most, of 65535 over the range of their block', () => {
    for (const size of [1e-20, 1, 1e4, 1e30]) {
      const x = randomValues(random, 32 * 64, 1).map((value) => value * size);
      const rounded = stand.rounded(stand.quantize(x, 4));
      for (let block = 0; block < 64; block++) {
        const part = x.subarray(32 * block, 32 * block + 32);
        const step = part.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 32767;
        // The step's reciprocal is rounded too, which moves a value by 32767 × 2^-23 steps at most.
        for (const [i, value] of part.entries())
          expect(Math.abs(rounded[32 * block + i]! - value) / step).toBeLessThan(0.508);
      }
    }
  });

  test('have the sums of their half blocks beside them', () => {
    const quantized = stand.quantize(randomValues(random, 32 * 6, 1), 2);
    const rounded = stand.rounded(quantized);
    const scales = stand.read(quantized.scales, 6);
    const sums = new Int32Array(stand.memory.bytes(quantized.sums, 48).slice().buffer);
    for (let half = 0; half < 12; half++) {
      const integers = [...rounded.subarray(16 * half, 16 * half + 16)].map((value) => value / scales[half >> 1]!);
      expect(sums[half]).toBe(Math.round(integers.reduce((sum, value) => sum + value)));
    }
  });

  test('of a block without anything above 1e-30 are zeros, subnormal numbers among them', () => {
    for (const values of [
      [0, -0],
      [1e-30, -1e-31],
      [2 ** -126, 2 ** -149],
    ]) {
      expect(roundedOf(values).every((value) => value === 0)).toBe(true);
      expect(scaleOf(values)).toBe(0);
    }
    expect(roundedOf([1.1e-30])[0]! / 1.1e-30).toBeCloseTo(1, 5);
    expect(roundedOf([1, 2 ** -140])[1]).toBe(0);
  });

  test('of a block with NaN or an infinity make every result of the row NaN, and none of the rows beside it', () => {
    const kinds = matrixKinds.filter(({ groupColumns, scales }) => groupColumns <= 32 && scales === 'f32');
    for (const kind of kinds) {
      const matrix = packMatrix(stand.memory, randomMatrix(random, kind, 6, 64));
      for (const stranger of [NaN, Infinity, -Infinity]) {
        const x = randomValues(random, 3 * 64, 1);
        const sound = stand.multiply(matrix, stand.quantize(x.slice(), 3));
        x[64 + 40] = stranger;
        const y = stand.multiply(matrix, stand.quantize(x, 3));
        expect(y.subarray(6, 12).every(Number.isNaN)).toBe(true);
        expect([...y.subarray(0, 6), ...y.subarray(12)]).toEqual([...sound.subarray(0, 6), ...sound.subarray(12)]);
      }
    }
  });

  test('reach to the largest number', () => {
    const largest = 3.4028234e38;
    expect(roundedOf([largest, -largest / 2])[0]! / largest).toBeCloseTo(1, 5);
  });
});

test('every NaN is the one NaN at the end of a run, and all else stays', () => {
  const bits = [0x7fc00000, 0xffc00000, 0x7f800001, 0xff812345, 0x7f800000, 0xff800000, 0x80000000, 0x3f800000, 1];
  const at = stand.words(bits);
  stand.memory.functions.settle_nan(at, bits.length);
  expect([...stand.memory.words(at, bits.length)]).toEqual([...Array<number>(4).fill(0x7fc00000), ...bits.slice(4)]);
});

describe.each([false, true])('a matrix of floats, halves: %s,', (isHalf) => {
  test('multiplies as in double precision, each row as if it were alone, and gives its rows as they are', () => {
    const [rows, outputs, columns] = [32, 7, 100];
    const halves = randomHalves(random, outputs * columns);
    const weights = isHalf ? decodeF16(new Uint8Array(halves.buffer)) : randomValues(random, outputs * columns, 1);
    const matrix = stand.memory.allocate(4 * weights.length);
    const bytes = isHalf ? new Uint8Array(halves.buffer) : new Uint8Array(weights.buffer);
    stand.memory.bytes(matrix, bytes.length).set(bytes);
    const x = randomValues(random, rows * columns, 1);
    const { functions } = stand.memory;
    const product = (first: number): Float32Array => {
      const [count, y] = [rows - first, stand.room(rows * outputs)];
      const from = stand.floats(x.slice(first * columns));
      functions.multiply_plain(matrix, Number(isHalf), outputs, columns, from, columns, y, outputs, count);
      return stand.read(y, count * outputs);
    };
    const y = product(0);
    expect(relativeError(y, plainProduct(x, weights, rows, columns))).toBeLessThan(1e-6);
    for (const count of COUNTS) {
      expect(bitsOf(product(rows - count))).toEqual(bitsOf(y.subarray((rows - count) * outputs)));
    }
    const gathered = stand.room(2 * columns);
    functions.gather_plain(matrix, Number(isHalf), columns, stand.words([6, 2]), gathered, columns, 2);
    const [six, two] = [6, 2].map((row) => weights.subarray(row * columns, (row + 1) * columns)) as [
      Float32Array,
      Float32Array,
    ];
    expect(bitsOf(stand.read(gathered, 2 * columns))).toEqual(bitsOf(Float32Array.of(...six, ...two)));
  });
});
