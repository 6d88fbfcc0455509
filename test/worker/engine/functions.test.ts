import { beforeAll, describe, expect, test } from 'vitest';
import { EngineStand } from '../../support/engine-stand.ts';

/** In the order of c/rows.c. */
const UNARY = ['sigmoid', 'silu', 'tanh', 'gelu', 'geluTanh', 'quickGelu', 'relu'] as const;
type Unary = (typeof UNARY)[number];

let stand: EngineStand;
beforeAll(async () => {
  stand = await EngineStand.open();
});

function apply(operation: Unary, values: ArrayLike<number>): Float32Array {
  const padded = new Float32Array(4 * Math.ceil(values.length / 4));
  padded.set(values);
  const [x, y] = [stand.floats(padded), stand.room(padded.length)];
  stand.memory.functions.unary(UNARY.indexOf(operation), x, padded.length, y, padded.length, 1, padded.length);
  return stand.read(y, values.length);
}

/** Every f32 so many apart, from -`limit` to `limit`: dense near 0, where functions lose their digits. */
function sweep(limit: number): Float32Array {
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, limit);
  const top = bits.getUint32(0);
  const positive = new Float32Array(
    Uint32Array.from({ length: 20_000 }, (_, i) => Math.round((top * i) / 20_000)).buffer,
  );
  const even = Float32Array.from({ length: 20_001 }, (_, i) => (i / 10_000 - 1) * limit);
  return Float32Array.of(...positive, ...positive.map((value) => -value), ...even);
}

/** The largest of `error` over the sweep. */
function largest(limit: number, operation: Unary, error: (y: number, x: number) => number): number {
  const xs = sweep(limit);
  const ys = apply(operation, xs);
  return xs.reduce((worst, x, i) => Math.max(worst, error(ys[i]!, x)), 0);
}

/** The error function by its series, to 1e-15 up to |x| = 5, where it is 1 to 2e-12. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("the engine's own functions are as good as their comments say", () => {
  test('e^x below 2e-7, as 1 / sigmoid − 1 shows it where it is large', () => {
    // sigmoid(−x) is 1 / (1 + e^x), two roundings beside the exponential itself.
    expect(largest(87, 'sigmoid', (y, x) => Math.abs(y / sigmoid(x) - 1))).toBeLessThan(3.2e-7);
  });

  test('tanh by 2e-7', () => {
    expect(largest(20, 'tanh', (y, x) => Math.abs(y - Math.tanh(x)))).toBeLessThan(2e-7);
  });

  test('the error function by 4e-7, in GELU, where it counts half of x', () => {
    const gelu = (x: number): number => (x / 2) * (1 + erf(x / Math.SQRT2));
    // 1 + erf and the argument are rounded besides.
    expect(largest(6, 'gelu', (y, x) => Math.abs(y - gelu(x)) / Math.max(Math.abs(x / 2), 1e-30))).toBeLessThan(5.5e-7);
  });

  test('SiLU, quick GELU and GELU by tanh to 4e-7 of x', () => {
    const by = (of: (x: number) => number) => (y: number, x: number) =>
      Math.abs(y - of(x)) / Math.max(Math.abs(x), 1e-30);
    expect(
      largest(
        80,
        'silu',
        by((x) => x * sigmoid(x)),
      ),
    ).toBeLessThan(4e-7);
    expect(
      largest(
        40,
        'quickGelu',
        by((x) => x * sigmoid(1.702 * x)),
      ),
    ).toBeLessThan(4e-7);
    const tanhGelu = (x: number): number => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    expect(largest(10, 'geluTanh', by(tanhGelu))).toBeLessThan(4e-7);
  });

  test('the larger of x and 0 exactly', () => {
    expect(largest(1e30, 'relu', (y, x) => Math.abs(y - Math.max(x, 0)))).toBe(0);
  });
});

test.each([
  ['sigmoid', 0, 1],
  ['tanh', -1, 1],
  ['relu', 0, Infinity],
] as const)('%s is %d at −∞ and %d at ∞', (operation, low, high) => {
  expect([...apply(operation, [-Infinity, Infinity, -1e30, 1e30])].slice(0, 2)).toEqual([low, high]);
});

test.each(['silu', 'gelu', 'geluTanh', 'quickGelu'] as const)('%s is x at large x and 0 far below', (operation) => {
  expect([...apply(operation, [Infinity, 3e38, 1e20, 90])]).toEqual([Infinity, 3e38, 1e20, 90].map(Math.fround));
  for (const y of apply(operation, [-3e38, -1e30, -1e10, -200])) expect(Math.abs(y)).toBe(0);
});

test.each(UNARY)('%s of NaN is NaN, and says nothing about the numbers beside it', (operation) => {
  const [first, second, , fourth] = apply(operation, [0.5, NaN, 0, -2]);
  expect(second).toBeNaN();
  expect([first, fourth]).toEqual([...apply(operation, [0.5, -2])]);
});
