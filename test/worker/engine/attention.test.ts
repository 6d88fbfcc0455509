import { beforeEach, describe, expect, test } from 'vitest';
import { bitsOf, EngineStand, relativeError } from '../../support/engine-stand.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly scale: number;
  readonly softcap: number;
}

const shapes: readonly Shape[] = [
  { heads: 4, kvHeads: 2, headSize: 32, scale: 0.2, softcap: 0 },
  { heads: 3, kvHeads: 1, headSize: 36, scale: 0.15, softcap: 0 },
  { heads: 2, kvHeads: 2, headSize: 4, scale: 1, softcap: 0 },
  { heads: 2, kvHeads: 1, headSize: 64, scale: 1, softcap: 3 },
];
const random = createRandom(13);
let stand: EngineStand;

beforeEach(async () => {
  stand = await EngineStand.open();
});

/** Softmax attention of one query over `count` positions, in double precision. */
function attended(
  { heads, kvHeads, headSize, scale, softcap }: Shape,
  query: Float32Array,
  keys: Float32Array,
  values: Float32Array,
  count: number,
): number[] {
  const width = kvHeads * headSize;
  return Array.from({ length: heads * headSize }, (_, i) => {
    const head = Math.floor(i / headSize);
    const from = Math.floor(head / (heads / kvHeads)) * headSize;
    const scores = Array.from({ length: count }, (_, t) => {
      let score = 0;
      for (let j = 0; j < headSize; j++) score += query[head * headSize + j]! * keys[t * width + from + j]!;
      return softcap > 0 ? softcap * Math.tanh((score * scale) / softcap) : score * scale;
    });
    const top = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - top));
    const sum = weights.reduce((all, weight) => all + weight);
    return weights.reduce((all, weight, t) => all + (weight / sum) * values[t * width + from + (i % headSize)]!, 0);
  });
}

/** A store of keys and one of values, with what another session left in them. */
interface Store {
  readonly keys: number;
  readonly values: number;
  readonly capacity: number;
}

function store({ kvHeads, headSize }: Shape, capacity: number, left: number): Store {
  const count = kvHeads * capacity * headSize;
  const [keys, values] = [0, 0].map(() => stand.floats(new Float32Array(count).fill(left))) as [number, number];
  return { keys, values, capacity };
}

function append(shape: Shape, to: Store, keys: Float32Array, values: Float32Array, start: number): void {
  const width = shape.kvHeads * shape.headSize;
  const rows = keys.length / width;
  const positions = stand.words(Array.from({ length: rows }, (_, i) => start + i));
  const capacities = stand.words(Array<number>(rows).fill(to.capacity));
  for (const [from, at] of [
    [keys, to.keys],
    [values, to.values],
  ] as const) {
    const stores = stand.words(Array<number>(rows).fill(at));
    const x = stand.floats(from);
    stand.memory.functions.append(x, width, stores, positions, rows, shape.kvHeads, shape.headSize, capacities);
  }
}

/** Attention of rows that may each have a store of its own. */
function attend(shape: Shape, queries: Float32Array, stores: readonly Store[], positions: number[]): Float32Array {
  const { heads, kvHeads, headSize, scale, softcap } = shape;
  const width = heads * headSize;
  const rows = positions.length;
  const y = stand.room(rows * width);
  stand.memory.functions.attend(
    ...[stand.floats(queries), width],
    ...[stand.words(stores.map((each) => each.keys)), stand.words(stores.map((each) => each.values))],
    ...[stand.words(positions), stand.words(stores.map((each) => each.capacity))],
    ...[y, width, rows, heads, kvHeads, headSize, scale, softcap],
    stand.room(Math.max(96, heads / kvHeads) * (4 + Math.max(...stores.map((each) => each.capacity)))),
  );
  return stand.read(y, rows * width);
}

describe.each(shapes)('$heads heads of $headSize over $kvHeads, softcap $softcap,', (shape) => {
  const width = shape.heads * shape.headSize;
  const kvWidth = shape.kvHeads * shape.headSize;
  const positions = 11;
  const queries = randomValues(random, positions * width, 1);
  const keys = randomValues(random, positions * kvWidth, 1);
  const values = randomValues(random, positions * kvWidth, 1);

  test('attend as in double precision', () => {
    const session = store(shape, 12, 0);
    append(shape, session, keys, values, 0);
    const y = attend(
      shape,
      queries,
      Array<Store>(positions).fill(session),
      Array.from({ length: positions }, (_, i) => i),
    );
    for (let row = 0; row < positions; row++) {
      const query = queries.subarray(row * width, (row + 1) * width);
      const expected = attended(shape, query, keys, values, row + 1);
      expect(relativeError(y.subarray(row * width, (row + 1) * width), expected)).toBeLessThan(1e-6);
    }
  });

  test('give a row the same bits beside others or alone, in a long store or a short one, whatever lies beyond it', () => {
    const alone = store(shape, 12, 0);
    append(shape, alone, keys, values, 0);
    const expected = Array.from({ length: positions }, (_, i) =>
      bitsOf(attend(shape, queries.subarray(i * width, (i + 1) * width), [alone], [i])),
    );
    for (const left of [NaN, Infinity, 1e38]) {
      const [long, other] = [store(shape, 64, left), store(shape, 16, left)];
      append(shape, other, values, keys, 0);
      // Run by run, with a row of another session between those of this one.
      for (const [start, end] of [
        [0, 1],
        [1, 6],
        [6, 11],
      ] as const) {
        append(
          shape,
          long,
          keys.slice(start * kvWidth, end * kvWidth),
          values.slice(start * kvWidth, end * kvWidth),
          start,
        );
        const rows = Array.from({ length: end - start }, (_, i) => start + i);
        const query = (row: number) => queries.subarray(row * width, (row + 1) * width);
        const mixed = rows.flatMap((row) => [...query(10 - row), ...query(row)]);
        const stores = rows.flatMap(() => [other, long]);
        const y = attend(
          shape,
          Float32Array.from(mixed),
          stores,
          rows.flatMap((row) => [10 - row, row]),
        );
        for (const [i, row] of rows.entries()) {
          expect(bitsOf(y.subarray((2 * i + 1) * width, (2 * i + 2) * width)), `row ${row}`).toEqual(expected[row]);
        }
      }
    }
  });
});

test('a NaN among the scores makes the whole head NaN, and no other', () => {
  const shape = { heads: 2, kvHeads: 2, headSize: 8, scale: 1, softcap: 0 };
  const session = store(shape, 4, 0);
  const keys = randomValues(random, 3 * 16, 1);
  keys[16 + 3] = NaN;
  append(shape, session, keys, randomValues(random, 3 * 16, 1), 0);
  const y = attend(shape, randomValues(random, 16, 1), [session], [2]);
  expect(y.subarray(0, 8).every(Number.isNaN)).toBe(true);
  expect(y.subarray(8).every(Number.isFinite)).toBe(true);
});

test('far positions of large scores do not overflow', () => {
  const shape = { heads: 1, kvHeads: 1, headSize: 4, scale: 1, softcap: 0 };
  const session = store(shape, 8, 0);
  append(shape, session, Float32Array.of(1e4, 0, 0, 0, -1e4, 0, 0, 0), Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), 0);
  expect([...attend(shape, Float32Array.of(1e4, 0, 0, 0), [session], [1])]).toEqual([1, 2, 3, 4]);
});

describe.each([false, true])('rotary embedding, pairs side by side: %s,', (isInterleaved) => {
  test('turns each pair by the angle of its position and leaves the other dimensions', () => {
    const [rows, heads, headSize, rotary] = [5, 3, 16, 12];
    const angles = Float32Array.from({ length: 20 * (rotary / 2) }, () => 6 * random());
    const [cosines, sines] = [angles.map(Math.cos), angles.map(Math.sin)];
    const positions = [7, 0, 19, 3, 7];
    const x = randomValues(random, rows * heads * headSize, 1);
    const turn = (from: Float32Array, at: number[]): Float32Array => {
      const place = stand.floats(from);
      stand.memory.functions.rotate(
        ...[place, heads * headSize, stand.floats(cosines), stand.floats(sines), stand.words(at)],
        ...[at.length, heads, headSize, rotary, Number(isInterleaved)],
      );
      return stand.read(place, from.length);
    };
    const y = turn(x, positions);
    const expected = Float64Array.from(x);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < heads; head++) {
        for (let pair = 0; pair < rotary / 2; pair++) {
          const from = (row * heads + head) * headSize;
          const [a, b] = isInterleaved
            ? [from + 2 * pair, from + 2 * pair + 1]
            : [from + pair, from + pair + rotary / 2];
          const at = positions[row]! * (rotary / 2) + pair;
          expected[a] = x[a]! * cosines[at]! - x[b]! * sines[at]!;
          expected[b] = x[b]! * cosines[at]! + x[a]! * sines[at]!;
        }
      }
    }
    expect(relativeError(y, expected)).toBeLessThan(1e-7);
    expect(bitsOf(turn(x.slice(-heads * headSize), [7]))).toEqual(bitsOf(y.subarray(-heads * headSize)));
  });
});

test('a norm divides each part of a row by its root mean square, and no part by another', () => {
  const [rows, groups, width, epsilon] = [3, 4, 20, 1e-5];
  const x = randomValues(random, rows * groups * width, 2);
  const gamma = randomValues(random, width, 1);
  const norm = (from: Float32Array, count: number): Float32Array => {
    const y = stand.room(from.length);
    const [at, by] = [stand.floats(from), stand.floats(gamma)];
    stand.memory.functions.rms_norm(at, groups * width, by, y, groups * width, count, groups, width, epsilon);
    return stand.read(y, from.length);
  };
  const y = norm(x, rows);
  for (let part = 0; part < rows * groups; part++) {
    const own = x.subarray(part * width, (part + 1) * width);
    const size = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0) / width + epsilon);
    const expected = [...own].map((value, i) => (value / size) * gamma[i]!);
    expect(relativeError(y.subarray(part * width, (part + 1) * width), expected)).toBeLessThan(3e-7);
  }
  expect(bitsOf(norm(x.slice(-groups * width), 1))).toEqual(bitsOf(y.subarray(-groups * width)));
  expect([...norm(new Float32Array(groups * width), 1)].every((value) => value === 0)).toBe(true);
});
