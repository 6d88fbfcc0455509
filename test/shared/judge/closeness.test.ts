import { describe, expect, test } from 'vitest';
import { closenessOf } from '#shared/judge/closeness.ts';
import { quantile } from '#shared/judge/statistics.ts';
import { logitsRow, makeChunk, speak, speakLogits } from '../../support/testimonies.ts';

describe('closeness', () => {
  const chunk = makeChunk(4, 64, 20);

  test('is the relative difference of the updates, row by row', () => {
    // A row that is off by a multiple of its own update is off by that in every sketch.
    const off = chunk.output.map((value, i) => {
      const share = Math.floor(i / 64) === 19 ? 0.5 : Math.floor(i / 64) >= 10 ? 0.1 : 0;
      return value + share * (value - chunk.input[i]!);
    });
    const found = closenessOf(speak({ ...chunk, output: off }).reveal, speak(chunk).reveal, { kind: 'hidden' });
    expect(found.median).toBeCloseTo(0, 5);
    expect(found.p95).toBeCloseTo(0.1, 5);
    expect(found.max).toBeCloseTo(0.5, 5);
    expect(found.norm).toBeCloseTo(1, 5);
  });

  test('tells a push into one direction from noise of the same size', () => {
    const noise = chunk.output.map((value, i) => value + 0.01 * (i % 128 < 64 ? 1 : -1));
    const push = chunk.output.map((value) => value + 0.01);
    const biasOf = (output: Float32Array<ArrayBuffer>) =>
      closenessOf(speak({ ...chunk, output }).reveal, speak(chunk).reveal, { kind: 'hidden' }).bias;
    expect(biasOf(noise)).toBeLessThan(1e-4);
    expect(biasOf(push)).toBeGreaterThan(5e-3);
  });

  test('of logits counts a token as missing that should be among them', () => {
    const head = makeChunk(4, 8, 1);
    const logits = Array.from({ length: 100 }, (_, token) => 5 - token / 10);
    const raised = logits.map((logit, token) => (token === 99 ? 5 : logit));
    const kind = { kind: 'logits', vocabularySize: 100, sampled: null } as const;
    const reveal = (row: number[]) => speakLogits(head, [logitsRow(row).slice(0, 516)]).reveal;
    expect(closenessOf(reveal(raised), reveal(logits), kind).max).toBe(1);
    expect(closenessOf(reveal(logits), reveal(raised), kind).max).toBe(1);
    // The last of the list may well be another.
    const lowered = logits.map((logit, token) => (token === 63 ? logit - 0.2 : logit));
    expect(closenessOf(reveal(lowered), reveal(logits), kind).max).toBeLessThan(0.1);
  });

  test('of logits is not nothing where tokens of the second half of a list are others', () => {
    const head = makeChunk(4, 8, 1);
    const logits = Array.from({ length: 100 }, (_, token) => 5 - token / 10);
    // Tokens 90 to 99 stand where 40 to 49 should, with their very logits.
    const others = logits.map((_, token) => {
      const from = token >= 90 ? token - 50 : token >= 40 && token < 50 ? token + 50 : token;
      return logits[from]!;
    });
    const kind = { kind: 'logits', vocabularySize: 100, sampled: null } as const;
    const reveal = (row: number[]) => speakLogits(head, [logitsRow(row).slice(0, 516)]).reveal;
    for (const [primary, shadow] of [
      [others, logits],
      [logits, others],
    ] as const) {
      expect(closenessOf(reveal(primary), reveal(shadow), kind).max).toBeGreaterThan(0.1);
    }
  });
});

test('a quantile is a value that is there, by its rank', () => {
  const values = Array.from({ length: 32 }, (_, i) => 31 - i);
  expect([0, 0.5, 0.95, 1].map((q) => quantile(values, q))).toEqual([0, 15, 30, 31]);
  expect(quantile([7], 0.5)).toBe(7);
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});
