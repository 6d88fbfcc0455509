import fc from 'fast-check';
import { expect, test } from 'vitest';
import { candidateRowBytes, encodeCandidates } from '../../worker/top-candidates.ts';

interface Candidate {
  readonly id: number;
  readonly logit: number;
}

function decode(bytes: Uint8Array, vocabularySize: number): { logSumExp: number; candidates: Candidate[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, candidateRowBytes(vocabularySize));
  const candidates = Array.from({ length: Math.min(64, vocabularySize) }, (_, i) => ({
    id: view.getUint32(4 + 8 * i, true),
    logit: view.getFloat32(8 + 8 * i, true),
  }));
  return { logSumExp: view.getFloat32(0, true), candidates };
}

/** All logits sorted: the slow and plain way. */
function sorted(logits: Float32Array): Candidate[] {
  return Array.from(logits, (logit, id) => ({ id, logit: Number.isNaN(logit) ? -Infinity : logit }))
    .sort((a, b) => (a.logit === b.logit ? a.id - b.id : b.logit - a.logit))
    .slice(0, 64);
}

test('candidates are the largest logits, equal ones by rising id, as sorting all of them gives', () => {
  const few = fc.constantFrom(-1, 0, 0.5, 1, Infinity, -Infinity, NaN);
  const logit = fc.oneof(fc.float(), few);
  fc.assert(
    fc.property(fc.array(logit, { minLength: 1, maxLength: 300 }), (values) => {
      const logits = Float32Array.from(values);
      expect(decode(encodeCandidates(logits, logits.length), logits.length).candidates).toEqual(sorted(logits));
    }),
  );
});

test('the log-sum-exp counts every logit and does not overflow', () => {
  const logits = Float32Array.from({ length: 1000 }, (_, i) => 500 + Math.sin(i));
  const expected = 500 + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - 500), 0));
  expect(decode(encodeCandidates(logits, 1000), 1000).logSumExp).toBe(Math.fround(expected));
});

test('logits that are no numbers count as impossible', () => {
  const row = decode(encodeCandidates(Float32Array.of(NaN, 2, NaN), 3), 3);
  expect(row.candidates.map(({ id }) => id)).toEqual([1, 0, 2]);
  expect(row.logSumExp).toBe(2);
  expect(decode(encodeCandidates(Float32Array.of(NaN, NaN), 2), 2).logSumExp).toBe(-Infinity);
});

test('each row is encoded by itself', () => {
  const bytes = encodeCandidates(Float32Array.of(1, 2, 3, 4, 6, 5), 3);
  const second = bytes.slice(candidateRowBytes(3));
  expect(decode(bytes, 3).candidates.map(({ id }) => id)).toEqual([2, 1, 0]);
  expect(decode(second, 3).candidates.map(({ id }) => id)).toEqual([1, 2, 0]);
});
