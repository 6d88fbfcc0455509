import { describe, expect, test } from 'vitest';
import { toHex } from '#shared/bytes.ts';
import { readF32, rowValues, sketchRows, SKETCH_BYTES } from '#shared/judge/sketch.ts';
import { norm } from '#shared/judge/statistics.ts';
import { encodeF16 } from '#shared/model/f16.ts';
import { codeOf } from '../../support/code-of.ts';
import { normal } from '../../support/normal.ts';

const hiddenSize = 96;
const ones = new Float32Array(hiddenSize).fill(1);
const seed = new Uint8Array(32).fill(1);
const random = normal(5);
const rows = Float32Array.from({ length: 4 * hiddenSize }, random);
const sketch = (values: Float32Array, scale = ones, by = seed) => sketchRows(values, hiddenSize, scale, by);

describe('a sketch', () => {
  test('is of each row by itself, with the same signs for all', () => {
    const together = sketch(rows);
    const alone = [0, 1, 2, 3].map((i) => sketch(rows.subarray(i * hiddenSize, (i + 1) * hiddenSize)));
    expect(toHex(together)).toBe(alone.map(toHex).join(''));
    expect(together.length).toBe(4 * SKETCH_BYTES);
  });

  test('is on average as long as the row', () => {
    const row = rows.subarray(0, hiddenSize);
    const lengths = Array.from({ length: 400 }, (_, i) => {
      const by = new Uint8Array(32).fill(i & 255).fill(i >> 8, 16);
      return norm(readF32(sketch(row, ones, by))) ** 2;
    });
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(mean / norm(row) ** 2).toBeGreaterThan(0.93);
    expect(mean / norm(row) ** 2).toBeLessThan(1.07);
  });

  test('depends on the seed', () => {
    expect(sketch(rows)).not.toEqual(sketch(rows, ones, new Uint8Array(32).fill(2)));
  });

  test('sees a channel by its share of what is usual there', () => {
    const scale = ones.map((_, c) => 2 ** (c % 5));
    const scaled = rows.map((value, i) => value * scale[i % hiddenSize]!);
    expect(sketch(scaled, scale)).toEqual(sketch(rows));
  });

  test('of numbers that are none is the same bytes everywhere', () => {
    const broken = rows.slice(0, hiddenSize).fill(Infinity);
    expect(new Set(toHex(sketch(broken)).match(/.{8}/g))).toEqual(new Set(['0000c07f']));
  });

  test('wants whole rows and a scale for each channel', () => {
    expect(codeOf(() => sketch(rows.subarray(1)))).toBe('bad-message');
    expect(() => sketch(rows, ones.subarray(1))).toThrow(RangeError);
  });
});

describe('the values of rows', () => {
  test('are exactly those on the wire, in both boundary types', () => {
    const halves = Float32Array.of(1.5, -2, 65_504, 0.125);
    expect(rowValues(encodeF16(halves), 'f16')).toEqual(halves);
    // From an odd offset, as in a message.
    const bytes = new Uint8Array([0, ...new Uint8Array(rows.slice(0, 3).buffer)]).subarray(1);
    expect(rowValues(bytes, 'f32')).toEqual(rows.slice(0, 3));
  });

  test('do not end within one', () => {
    expect(codeOf(() => rowValues(new Uint8Array(3), 'f16'))).toBe('bad-message');
    expect(codeOf(() => rowValues(new Uint8Array(6), 'f32'))).toBe('bad-message');
  });
});
