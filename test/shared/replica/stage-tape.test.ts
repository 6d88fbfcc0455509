import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StageTape } from '#shared/replica/stage-tape.ts';
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

describe('the tape of a stage', () => {
  it('has chains that depend on what is left, whatever was cut before', () => {
    const step = fc.oneof(
      fc.record({ cut: fc.nat(40) }),
      fc.record({ values: fc.array(fc.nat(255), { minLength: 1, maxLength: 8 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const tape = new StageTape('hidden');
        let left: number[] = [];
        for (const next of steps) {
          if ('cut' in next) {
            tape.cut(next.cut);
            left = left.slice(0, next.cut);
          } else {
            tape.take(rows('hidden', left.length, next.values), 0);
            left = [...left, ...next.values];
            tape.complete(left.length, rows('hidden', left.length - next.values.length, next.values));
          }
        }
        const { chains, inputs, outputs } = tape.span(0, left.length);
        expect([tape.received, tape.computed]).toEqual([left.length, left.length]);
        expect(chains.inputTo).toEqual(foldRows(CHAIN_START, left.map(row)));
        expect(chains.outputTo).toEqual(chains.inputTo);
        expect([inputs, outputs]).toEqual([left.map(row), left.map(row)]);
      }),
      { numRuns: 100 },
    );
  });

  it('has the same logits whether they came one by one or from a run of everything after the first', () => {
    const [one, all] = [new StageTape('tokens'), new StageTape('tokens')];
    for (const tape of [one, all]) {
      tape.take(rows('tokens', 0, [1, 2]), 1);
      tape.take(rows('tokens', 2, [3]), 9);
      tape.take(rows('tokens', 3, [4]), 3);
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
    const tape = new StageTape('hidden');
    tape.take(rows('hidden', 0, [1, 2, 3]), 0);
    expect([tape.received, tape.computed]).toEqual([3, 0]);
    tape.complete(2, rows('hidden', 0, [5, 6]));
    expect([tape.received, tape.computed]).toEqual([3, 2]);
    expect(tape.rows(1, 3)).toEqual(rows('hidden', 1, [2, 3]));
    expect(tape.span(0, 2).outputs).toEqual([row(5), row(6)]);
    tape.cut(1);
    expect([tape.received, tape.computed]).toEqual([1, 1]);
  });

  it('forgets outputs that were shown and claimed, but neither their chain nor any input', () => {
    const tape = new StageTape('hidden');
    tape.take(rows('hidden', 0, [1, 2, 3]), 0);
    tape.complete(3, rows('hidden', 0, [5, 6, 7]));
    const before = tape.span(0, 3);
    expect(tape.bytes).toBe(24);
    tape.release(2);
    expect(tape.bytes).toBe(24);
    tape.claimed(3);
    tape.release(2);
    expect([tape.bytes, tape.unclaimedFrom]).toEqual([16, 3]);
    expect(tape.span(0, 3)).toEqual({ ...before, outputs: [none, none, row(7)] });
    tape.cut(1);
    tape.take(rows('hidden', 1, [9]), 0);
    tape.complete(2, rows('hidden', 1, [8]));
    expect(tape.unclaimedFrom).toBe(1);
    tape.release(2);
    expect(tape.span(1, 2).outputs).toEqual([row(8)]);
    tape.claimed(9);
    expect(tape.unclaimedFrom).toBe(2);
  });

  it('keeps no more of a message than the rows that a cut leaves', () => {
    const tape = new StageTape('hidden');
    tape.take(rows('hidden', 0, [1, 2, 3]), 0);
    tape.complete(3, rows('hidden', 0, [5, 6, 7]));
    tape.cut(1);
    const { inputs, outputs } = tape.span(0, 1);
    expect([...inputs, ...outputs].map(({ buffer }) => buffer.byteLength)).toEqual([4, 4]);
  });
});
