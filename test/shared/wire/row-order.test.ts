import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { RowOrder, type OrderedMessage } from '#shared/wire/row-order.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { codeOf } from '../../support/code-of.ts';

const session = '0'.repeat(32) as SessionId;
const rows = (sequence: number, start: number, count: number, epoch = 0): OrderedMessage =>
  rowsMessage({
    session,
    stage: 0,
    epoch,
    sequence,
    chunk: 0,
    logitsFrom: 0,
    rows: { kind: 'tokens', start, count, bytes: new Uint8Array(4 * count) },
    hops: [],
  });
const cut = (epoch: number, position: number): OrderedMessage => ({ type: 'cut', session, epoch, position });

describe('RowOrder', () => {
  const first = rows(0, 0, 4);
  const second = rows(1, 4, 2);
  const cutBack = cut(1, 3);
  const third = rows(2, 3, 1, 1);
  const all = [first, second, cutBack, third];

  it('gives out what comes in order at once', () => {
    const order = new RowOrder();
    for (const message of all) expect(order.accept(message)).toEqual([message]);
    expect(order.position).toBe(4);
  });

  it('brings every arrival order to the same end', () => {
    for (const arrival of permutations(all)) {
      const order = new RowOrder();
      const out = arrival.flatMap((message) => order.accept(message));
      // A cut may overtake rows that it makes worthless; these are dropped then.
      expect(out.filter((message) => message !== second)).toEqual([first, cutBack, third]);
      expect(order.isWaiting).toBe(false);
    }
  });

  it('drops what comes twice, early or late', () => {
    const order = new RowOrder();
    expect(order.accept(second)).toEqual([]);
    expect(order.accept(second)).toEqual([]);
    expect(order.accept(first)).toEqual([first, second]);
    expect(order.accept(first)).toEqual([]);
    expect(order.accept(cutBack)).toEqual([cutBack]);
    expect(order.accept(cutBack)).toEqual([]);
    expect(order.accept(second)).toEqual([]);
  });

  it('applies a cut only after the cut before it and the rows that it keeps', () => {
    const order = new RowOrder();
    expect(order.accept(cut(2, 1))).toEqual([]);
    expect(order.accept(cut(1, 3))).toEqual([]);
    expect(order.accept(first)).toEqual([first, cut(1, 3), cut(2, 1)]);
  });

  it.each<[string, OrderedMessage]>([
    ['the next rows leave out positions', rows(1, 5, 1)],
    ['the next rows repeat positions', rows(1, 3, 1)],
    ['later rows repeat positions', rows(2, 3, 1)],
    ['a number is left out though the positions follow', rows(2, 4, 1)],
  ])('finds a gap where %s', (_, message) => {
    const order = new RowOrder();
    order.accept(first);
    expect(codeOf(() => order.accept(message))).toBe('gap');
  });

  it('holds no more than a few messages', () => {
    const order = new RowOrder();
    const accept = () => {
      for (let i = 1; i < 100; i++) order.accept(rows(i, 4 * i, 4));
    };
    expect(codeOf(accept)).toBe('gap');
  });
});

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
