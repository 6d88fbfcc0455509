import { describe, expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration, formatMs, formatRate, plural } from '../../../web/words/format.ts';

describe('numbers are written as people read them', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [999.6, '1.0 KB'],
    [6_033_664, '6.0 MB'],
    [512e6, '512 MB'],
    [2_048e6, '2.0 GB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [0.42, '0.4 ms'],
    [9.96, '10 ms'],
    [12.4, '12 ms'],
    [999.6, '1.0 s'],
    [12_340, '12.3 s'],
  ])('%d ms are %s', (ms, text) => expect(formatMs(ms)).toBe(text));

  test.each([
    [950, '950'],
    [9_999, '9999'],
    [12_400, '12.4 k'],
    [999_960, '1.0 M'],
    [6_033_664, '6.0 M'],
    [1_235_814_400, '1.2 B'],
  ])('a count of %d is %s', (count, text) => expect(formatCount(count)).toBe(text));

  test.each([
    [0, '0 s'],
    [59_400, '59 s'],
    [240_000, '4 min'],
    [3_600_000, '1 h'],
    [12_000_000, '3 h 20 min'],
    [187_200_000, '2 d 4 h'],
    [-5, '0 s'],
  ])('%d ms last %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

  test('rates keep a digit after the point only below a hundred', () => {
    expect([formatRate(8.44), formatRate(99.4), formatRate(99.6)]).toEqual(['8.4', '99.4', '100']);
  });

  test('one is singular and everything else plural', () => {
    expect([plural(0, 'volunteer'), plural(1, 'volunteer'), plural(2, 'volunteer')]).toEqual([
      '0 volunteers',
      '1 volunteer',
      '2 volunteers',
    ]);
  });
});
