import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StageRecord } from '#shared/replica/stage-record.ts';
import { CHAIN_START, foldRows } from '#shared/rows/row-chain.ts';
import type { Rows } from '#shared/rows/rows.ts';

const rows = (kind: Rows['kind'], start: number, values: readonly number[]): Rows => ({
  kind,
  start,
  count: values.length,
  bytes: new Uint8Array(values.flatMap((value) => [value, 0, 0, 0])),
});
const row = (value: number) => Uint8Array.of(value, 0, 0, 0);
const none = new Uint8Array();

describe('the record of a session', () => {
  it('has chains that depend on what is left, whatever was cut before', () => {
    const step = fc.oneof(
      fc.record({ cut: fc.nat(40) }),
      fc.record({ values: fc.array(fc.nat(255), { minLength: 1, maxLength: 8 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const record = new StageRecord('hidden');
        let left: number[] = [];
        for (const next of steps) {
          if ('cut' in next) {
            record.cut(next.cut);
            left = left.slice(0, next.cut);
          } else {
            record.take(rows('hidden', left.length, next.values), 0);
            left = [...left, ...next.values];
            record.complete(left.length, rows('hidden', left.length - next.values.length, next.values));
          }
        }
        const { chains, inputs, outputs } = record.span(0, left.length);
        expect([record.received, record.computed]).toEqual([left.length, left.length]);
        expect(chains.inputTo).toEqual(foldRows(CHAIN_START, left.map(row)));
        expect(chains.outputTo).toEqual(chains.inputTo);
        expect([inputs, outputs]).toEqual([left.map(row), left.map(row)]);
      }),
      { numRuns: 100 },
    );
  });

  it('has the same logits whether they came one by one or from a run of everything after the first', () => {
    const [one, all] = [new StageRecord('tokens'), new StageRecord('tokens')];
    for (const record of [one, all]) {
      record.take(rows('tokens', 0, [1, 2]), 1);
      record.take(rows('tokens', 2, [3]), 9);
      record.take(rows('tokens', 3, [4]), 3);
    }
    one.complete(2, rows('logits', 1, [20]));
    one.complete(3, rows('logits', 3, []));
    one.complete(4, rows('logits', 3, [40]));
    expect(all.logitsFrom(0, 4)).toBe(1);
    expect(all.logitsFrom(2, 3)).toBe(3);
    all.complete(4, rows('logits', 1, [20, 30, 40]));
    expect(all.span(0, 4).outputs).toEqual([none, row(20), none, row(40)]);
    expect(all.span(0, 4).chains.outputTo).toEqual(one.span(0, 4).chains.outputTo);
    expect(all.span(0, 4).chains.shapes).not.toEqual(one.span(0, 4).chains.shapes);
  });

  it('takes rows in before they are computed, and gives back both', () => {
    const record = new StageRecord('hidden');
    record.take(rows('hidden', 0, [1, 2, 3]), 0);
    expect([record.received, record.computed]).toEqual([3, 0]);
    record.complete(2, rows('hidden', 0, [5, 6]));
    expect([record.received, record.computed]).toEqual([3, 2]);
    expect(record.rows(1, 3)).toEqual(rows('hidden', 1, [2, 3]));
    expect(record.span(0, 2).outputs).toEqual([row(5), row(6)]);
    record.cut(1);
    expect([record.received, record.computed]).toEqual([1, 1]);
  });

  it('forgets outputs that were shown, but neither their chain nor any input', () => {
    const record = new StageRecord('hidden');
    record.take(rows('hidden', 0, [1, 2, 3]), 0);
    record.complete(3, rows('hidden', 0, [5, 6, 7]));
    const before = record.span(0, 3);
    expect(record.bytes).toBe(24);
    record.release(2);
    expect(record.bytes).toBe(16);
    expect(record.span(0, 3)).toEqual({ ...before, outputs: [none, none, row(7)] });
    record.cut(1);
    record.take(rows('hidden', 1, [9]), 0);
    record.complete(2, rows('hidden', 1, [8]));
    expect(record.span(1, 2).outputs).toEqual([row(8)]);
  });

  it('keeps no more of a message than the rows that a cut leaves', () => {
    const record = new StageRecord('hidden');
    record.take(rows('hidden', 0, [1, 2, 3]), 0);
    record.complete(3, rows('hidden', 0, [5, 6, 7]));
    record.cut(1);
    const { inputs, outputs } = record.span(0, 1);
    expect([...inputs, ...outputs].map(({ buffer }) => buffer.byteLength)).toEqual([4, 4]);
  });
});
