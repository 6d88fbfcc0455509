import { describe, expect, it } from 'vitest';
import { MAX_CLAIM_ROWS } from '#shared/credit/claim.ts';
import { pickRows, sketchClaim, type ClaimedRow, type ClaimSketcher } from '#shared/credit/claim-sketch.ts';
import { readF32, SKETCH_BYTES } from '#shared/judge/sketch.ts';
import { norm } from '#shared/judge/statistics.ts';
import { SKETCH_SIZE } from '#shared/limits.ts';
import { codeOf } from '../../support/code-of.ts';
import { normal } from '../../support/normal.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { logitsRow } from '../../support/testimonies.ts';

const hiddenSize = 64;
const VOCABULARY = 40;
const { config, pins } = smallManifest();
const manifest = {
  config: { ...config, hiddenSize, vocabularySize: VOCABULARY },
  pins: { ...pins, boundary: 'f32' as const },
};
const scale = new Float32Array(hiddenSize).fill(1);
const range = { start: 2, end: 4, embedding: false, head: false };
const middle: ClaimSketcher = { range, manifest, scale };
const head: ClaimSketcher = { range: { ...range, head: true }, manifest, scale };
const first: ClaimSketcher = { range: { ...range, start: 0, embedding: true }, manifest, scale };
const seed = new Uint8Array(32).fill(1);
const otherSeed = new Uint8Array(32).fill(2);
const random = normal(3);
const values = (): Float32Array<ArrayBuffer> => Float32Array.from({ length: hiddenSize }, random);
const bytesOf = (row: Float32Array<ArrayBuffer>) => new Uint8Array(row.buffer);
const hiddenRows = (count: number): ClaimedRow[] =>
  Array.from({ length: count }, (_, position) => ({ position, input: bytesOf(values()), output: bytesOf(values()) }));
const logits = (): number[] => Array.from({ length: VOCABULARY }, () => 4 * random());
const rowOf = (position: number, output: Uint8Array<ArrayBuffer>): ClaimedRow => {
  return { position, input: bytesOf(values()), output };
};
const lengths = (sketch: Uint8Array<ArrayBuffer>): number[] => {
  const numbers = readF32(sketch);
  return Array.from({ length: numbers.length / SKETCH_SIZE }, (_, i) =>
    norm(numbers.subarray(SKETCH_SIZE * i, SKETCH_SIZE * (i + 1))),
  );
};
/** The cosine between two rows of sketches. */
const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0) / (norm(a) * norm(b));

describe('the rows that a seed picks', () => {
  const picked = (count: number, by = seed) => pickRows([...Array(count).keys()], by);

  it('are all where there are few, and one of each equal part otherwise', () => {
    expect(picked(5)).toEqual([0, 1, 2, 3, 4]);
    expect(picked(MAX_CLAIM_ROWS)).toHaveLength(MAX_CLAIM_ROWS);
    const rows = picked(10 * MAX_CLAIM_ROWS);
    expect(rows.map((row) => Math.floor(row / 10))).toEqual([...Array(MAX_CLAIM_ROWS).keys()]);
  });

  it('are others under another seed, and every row is picked under some', () => {
    expect(picked(2_000)).not.toEqual(picked(2_000, otherSeed));
    const seen = new Set<number>();
    for (let i = 0; i < 60; i++) for (const row of picked(100, new Uint8Array(32).fill(i))) seen.add(row);
    expect(seen.size).toBe(100);
  });
});

describe('the sketches of a claim', () => {
  it('are of the update of hidden rows, and at the first stage of what it put out', () => {
    const rows = hiddenRows(3);
    const moved = rows.map(({ position, input, output }) => {
      const [before, after] = [readF32(input), readF32(output)];
      const update = after.map((value, i) => value - before[i]!);
      return { position, input: bytesOf(new Float32Array(hiddenSize)), output: bytesOf(update) };
    });
    expect(sketchClaim(rows, seed, middle)).toEqual(sketchClaim(moved, seed, middle));
    expect(sketchClaim(rows, seed, middle)).toHaveLength(3 * SKETCH_BYTES);
    const tokens = rows.map((row) => ({ ...row, input: new Uint8Array(4) }));
    const unmoved = rows.map((row) => ({ ...row, input: bytesOf(new Float32Array(hiddenSize)) }));
    expect(sketchClaim(tokens, seed, first)).toEqual(sketchClaim(unmoved, seed, middle));
  });

  it('differ by as much as the rows do, whatever the seed makes of their size', () => {
    const rows = hiddenRows(32);
    const off = rows.map((row) => {
      const [base, output] = [readF32(row.input), readF32(row.output)];
      return { ...row, output: bytesOf(output.map((value, i) => value + 0.01 * (value - base[i]!))) };
    });
    const [a, b] = [rows, off].map((each) => readF32(sketchClaim(each, seed, middle))) as [Float32Array, Float32Array];
    for (let i = 0; i < a.length; i++) expect(Math.abs(b[i]! / a[i]! - 1.01)).toBeLessThan(1e-3);
  });

  it('of logits do not depend on which of the last candidates is the last', () => {
    const row = logits();
    const order = [...row.keys()].sort((a, b) => row[b]! - row[a]!);
    const [low, lower] = [order.at(-1)!, order.at(-2)!];
    row[low] = row[lower]! - 1e-5;
    const swapped = row.map((value, token) => (token === low ? row[lower]! : token === lower ? row[low]! : value));
    const [a, b] = [row, swapped].map((each) => readF32(sketchClaim([rowOf(7, logitsRow(each))], seed, head)));
    const difference = norm(a!.map((value, i) => value - b![i]!));
    expect(difference / norm(a!)).toBeLessThan(1e-5);
  });

  it('have nothing in common for the same row at two positions, nor for the same token', () => {
    const same = logitsRow(logits());
    const hidden = hiddenRows(1)[0]!;
    const atAll = (row: ClaimedRow, by: ClaimSketcher): Float32Array[] =>
      Array.from({ length: 200 }, (_, position) => readF32(sketchClaim([{ ...row, position }], seed, by)));
    for (const sketches of [atAll(rowOf(0, same), head), atAll(hidden, middle)]) {
      const cosines = sketches.slice(1).map((sketch, i) => cosine(sketch, sketches[i]!));
      const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
      // Of independent signs: 0 on average, a quarter each.
      expect(Math.abs(mean)).toBeLessThan(0.08);
      expect(norm(cosines) / Math.sqrt(cosines.length)).toBeLessThan(0.35);
    }
  });

  it('say next to nothing of how long a row is: the seed spreads one row’s length over a factor of thousands', () => {
    const row = rowOf(0, logitsRow(logits()));
    const all = Array.from(
      { length: 400 },
      (_, position) => lengths(sketchClaim([{ ...row, position }], seed, head))[0]!,
    );
    const octaves = new Set(all.map((length) => Math.floor(Math.log2(length / norm(logits())))));
    expect(octaves.size).toBeGreaterThanOrEqual(16);
  });

  it('are the numbers that docs/protocol.md says', () => {
    // From Python, with hashlib and struct.
    const row = logitsRow(Array.from({ length: VOCABULARY }, (_, token) => token / 2));
    expect([...readF32(sketchClaim([rowOf(9, row)], seed, head)).subarray(0, 4)]).toEqual([
      -108.06455993652344, 50.5084342956543, -119.81070709228516, 68.12765502929688,
    ]);
    const input = bytesOf(new Float32Array(hiddenSize).fill(1));
    const output = bytesOf(Float32Array.from({ length: hiddenSize }, (_, channel) => channel / 4));
    expect([...readF32(sketchClaim([{ position: 9, input, output }], seed, middle)).subarray(0, 4)]).toEqual([
      -14.682683944702148, -38.17498016357422, -48.15920639038086, -48.15920639038086,
    ]);
    expect(pickRows([...Array(100).keys()], seed)).toEqual([
      ...[0, 5, 6, 10, 13, 15, 20, 23, 25, 28, 33, 35, 37, 42, 45, 47],
      ...[51, 53, 58, 60, 64, 65, 68, 73, 75, 79, 82, 86, 89, 90, 95, 96],
    ]);
  });

  it('are not made of rows that cannot be read', () => {
    expect(codeOf(() => sketchClaim([rowOf(0, new Uint8Array(3))], seed, head))).toBe('bad-message');
    expect(codeOf(() => sketchClaim([rowOf(0, new Uint8Array(3))], seed, middle))).toBe('bad-message');
  });
});
