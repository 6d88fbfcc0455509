import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { TOP_K } from '#shared/limits.ts';
import { candidateRowBytes, encodeCandidates } from '../../../worker/top-candidates.ts';
import { repetitions } from '../../support/effort.ts';
import { bitsOf, EngineStand } from '../../support/engine-stand.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

let stand: EngineStand;
beforeAll(async () => {
  stand = await EngineStand.open();
});

/** Rows of candidates of the engine, for rows of logits further apart than they are long. */
function candidatesOf(logits: Float32Array, vocabulary: number): Float32Array {
  const rows = logits.length / vocabulary;
  const stride = vocabulary + 5;
  const spread = new Float32Array(rows * stride).fill(Infinity);
  for (let row = 0; row < rows; row++) {
    spread.set(logits.subarray(row * vocabulary, (row + 1) * vocabulary), row * stride);
  }
  const words = candidateRowBytes(vocabulary) / 4;
  const [from, out] = [stand.floats(spread), stand.room(rows * words)];
  stand.memory.functions.candidates(from, stride, rows, vocabulary, Math.min(TOP_K, vocabulary), out);
  const made = stand.read(out, rows * words);
  stand.memory.free(out, 4 * rows * words);
  stand.memory.free(from, 4 * spread.length);
  return made;
}

/** Ids and logits are the same bits; the log-sum-exp is off by as much as e^x, and by its own rounding. */
function expectSame(logits: Float32Array, vocabulary: number): void {
  const words = candidateRowBytes(vocabulary) / 4;
  const actual = candidatesOf(logits, vocabulary);
  const expected = new Float32Array(encodeCandidates(logits, vocabulary).buffer);
  for (let at = 0; at < actual.length; at += words) {
    expect(bitsOf(actual.subarray(at + 1, at + words))).toEqual(bitsOf(expected.subarray(at + 1, at + words)));
    const [own, should] = [actual[at]!, expected[at]!];
    if (!Number.isFinite(should)) expect(own).toBe(should);
    else expect(Math.abs(own - should)).toBeLessThanOrEqual(2e-7 + 2 ** -23 * Math.abs(should));
  }
}

test('candidates are those of the plain way, bit for bit, whatever the logits are', () => {
  const few = fc.constantFrom(-1, -0, 0, 0.5, 1, 1e38, Infinity, -Infinity, NaN);
  const logit = fc.oneof(fc.float(), few, fc.float({ min: -20, max: 20 }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.array(logit, { minLength: 3, maxLength: 300 }), (rows, values) => {
      const vocabulary = Math.floor(values.length / rows);
      expectSame(Float32Array.from(values.slice(0, rows * vocabulary)), vocabulary);
    }),
    { numRuns: repetitions(150, 2000) },
  );
});

test('logits as models make them, of vocabularies that come in fours and that do not', () => {
  const random = createRandom(17);
  for (const vocabulary of [1, 2, 63, 64, 65, 2047, 32_000]) {
    for (const deviation of [0.01, 3, 30]) expectSame(randomValues(random, 4 * vocabulary, deviation), vocabulary);
  }
});

test.each([
  ['rising', (i: number) => i],
  ['falling', (i: number) => -i],
  ['equal', () => 1.5],
  ['all NaN', () => NaN],
  ['all −∞', () => -Infinity],
  ['NaN but for one', (i: number) => (i === 77 ? -3 : NaN)],
  ['with an infinite one', (i: number) => (i === 77 ? Infinity : i)],
] as const)('logits that are %s', (_, logit) => {
  for (const vocabulary of [200, 203])
    expectSame(
      Float32Array.from({ length: 2 * vocabulary }, (__, i) => logit(i % vocabulary)),
      vocabulary,
    );
});

test('a row of candidates does not depend on the rows beside it', () => {
  const random = createRandom(19);
  const [rows, vocabulary] = [32, 515];
  const words = candidateRowBytes(vocabulary) / 4;
  const logits = randomValues(random, rows * vocabulary, 4);
  const all = candidatesOf(logits, vocabulary);
  for (let row = 0; row < rows; row++) {
    const alone = candidatesOf(logits.slice(row * vocabulary, (row + 1) * vocabulary), vocabulary);
    expect(bitsOf(alone)).toEqual(bitsOf(all.subarray(row * words, (row + 1) * words)));
  }
});
