import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHAIN_START, foldRows, foldTail, RowChain, ShapeChain, splitRows } from '#shared/rows/row-chain.ts';

const row = (value: number) => Uint8Array.of(value);
const rowsTo = (count: number) => Array.from({ length: count }, (_, i) => row(i));

function chainOf(rows: readonly Uint8Array[]): RowChain {
  const chain = new RowChain();
  for (const each of rows) chain.append(each);
  return chain;
}

describe('a row chain', () => {
  test('begins with zeros and has a value before every position', () => {
    const chain = chainOf(rowsTo(200));
    expect(chain.at(0)).toEqual(CHAIN_START);
    expect(chain.position).toBe(200);
    expect(chain.at(150)).toEqual(foldRows(CHAIN_START, rowsTo(150)));
    expect(chain.at(200)).toEqual(foldRows(chain.at(150), rowsTo(200).slice(150)));
  });

  test('after a cut is that of the rows that are left and those that follow', () => {
    const chain = chainOf(rowsTo(10));
    chain.cut(4);
    chain.append(row(99));
    expect(chain.at(5)).toEqual(foldRows(CHAIN_START, [...rowsTo(4), row(99)]));
    expect(() => chain.at(6)).toThrow(RangeError);
    chain.cut(20);
    expect(chain.position).toBe(5);
  });

  test('changes with every byte, and with where one row ends and the next begins', () => {
    const whole = (...rows: number[][]) =>
      foldRows(
        CHAIN_START,
        rows.map((each) => Uint8Array.from(each)),
      );
    const others = [whole([1, 2], [4]), whole([1], [2, 3]), whole([1, 2, 3]), whole([1, 2], [3], [])];
    for (const other of others) expect(other).not.toEqual(whole([1, 2], [3]));
  });

  test('hands out copies', () => {
    const chain = chainOf(rowsTo(3));
    chain.at(3).fill(0);
    expect(chain.at(3)).toEqual(foldRows(CHAIN_START, rowsTo(3)));
  });

  test('has an empty row for each position of which nothing was asked', () => {
    const none = new Uint8Array(0);
    expect(foldTail(CHAIN_START, 4, [row(7)])).toEqual(chainOf([none, none, none, row(7)]).at(4));
  });
});

describe('a shape chain', () => {
  const built = (...runs: [number, number][]) => {
    const chain = new ShapeChain();
    for (const [start, count] of runs) chain.append(start, count);
    return chain;
  };

  test('tells runs of other sizes over the same positions apart', () => {
    expect(built([0, 2]).at(2)).not.toEqual(built([0, 1], [1, 1]).at(2));
    expect(built([0, 2]).at(2)).toEqual(built([0, 2], [2, 1]).at(2));
  });

  test('keeps the run that a cut went into, for in it the positions before the cut were computed', () => {
    const cut = built([0, 5], [5, 5]);
    cut.cut(3);
    cut.append(3, 1);
    expect(cut.at(4)).toEqual(built([0, 5], [3, 1]).at(4));
    cut.cut(0);
    expect(cut.at(9)).toEqual(CHAIN_START);
  });
});

test('rows are split as they were joined, and bytes that are not so many rows are refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (count, size) => {
      const bytes = new Uint8Array(count * size).map((_, i) => i);
      const rows = splitRows(bytes, count);
      expect(rows.map((each) => each.length)).toEqual(new Array<number>(count).fill(size));
      expect(rows.flatMap((each) => [...each])).toEqual([...bytes]);
    }),
  );
  expect(splitRows(new Uint8Array(0), 0)).toEqual([]);
  expect(() => splitRows(new Uint8Array(5), 2)).toThrow(RangeError);
  expect(() => splitRows(new Uint8Array(5), 0)).toThrow(RangeError);
});
