import { describe, expect, test } from 'vitest';
import { closenessOf, FARTHEST, tokenGap } from '#shared/judge/closeness.ts';
import { quantile } from '#shared/judge/statistics.ts';
import { readCandidates } from '#shared/rows/logits-row.ts';
import { sampleToken, uniformAt } from '#shared/rows/sampler.ts';
import { logitsRow, makeChunk, speak, speakLogits } from '../../support/testimonies.ts';

const listOf = (logits: readonly number[]) => readCandidates(logitsRow(logits), logits.length, logits.length);

describe('the token gap', () => {
  const even = listOf([Math.log(0.4), Math.log(0.3), Math.log(0.2), Math.log(0.1)]);
  const greedy = { temperature: 0, topP: 1, seed: 0 };
  const drawing = { temperature: 1, topP: 1, seed: 5 };

  test('is nothing for the token that these logits give', () => {
    for (let position = 0; position < 50; position++) {
      for (const sampling of [greedy, drawing, { ...drawing, topP: 0.5, temperature: 0.7 }]) {
        const { token } = sampleToken(even, sampling, position);
        expect(tokenGap(even, sampling, position, token)).toBe(0);
      }
    }
  });

  test('without temperature is the distance of the logits', () => {
    expect(tokenGap(even, greedy, 3, 2)).toBeCloseTo(Math.log(0.4) - Math.log(0.2), 6);
    expect(tokenGap(even, greedy, 3, 99)).toBe(FARTHEST);
  });

  test('with temperature is how far the number drawn is from the token’s share', () => {
    const shares = [
      [0, 0.4],
      [0.4, 0.7],
      [0.7, 0.9],
      [0.9, 1],
    ] as const;
    for (let position = 0; position < 50; position++) {
      const drawn = uniformAt(drawing.seed, position);
      shares.forEach(([from, to], token) => {
        const expected = Math.max(0, from - drawn, drawn - to);
        expect(tokenGap(even, drawing, position, token)).toBeCloseTo(expected, 5);
      });
      expect(tokenGap(even, drawing, position, 99)).toBe(1);
    }
  });

  test('of a token outside the nucleus is how far beyond its end that lies', () => {
    const nucleus = { ...drawing, topP: 0.69 };
    const drawn = uniformAt(drawing.seed, 1);
    expect(tokenGap(even, nucleus, 1, 3)).toBeCloseTo(0.9 / 0.7 - drawn, 5);
  });

  test('is nothing between tokens whose logits are as good as equal, for they may have changed places', () => {
    const tied = listOf([2, 2.001, -8, -9]);
    const swapped = listOf([2.001, 2, -8, -9]);
    for (let position = 0; position < 50; position++) {
      const { token } = sampleToken(swapped, drawing, position);
      expect(tokenGap(tied, drawing, position, token)).toBe(0);
    }
  });
});

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
