import { describe, expect, it, test } from 'vitest';
import { drawInversely, inverseTokenGap, uniformAt } from '#shared/rows/inverse-sampler.ts';
import { readCandidates, type Candidates } from '#shared/rows/logits-row.ts';
import { logitsRow } from '../../support/testimonies.ts';

const candidates: Candidates = {
  logSumExp: Math.log(4),
  tokens: Uint32Array.of(7, 9, 2),
  logits: Float32Array.of(0, 0, 0),
};
const sampling = { temperature: 1, topP: 1, seed: 42 };

describe('the sampler of receipts made before', () => {
  it('draws the numbers that its specification gives', () => {
    // From Python: int.from_bytes(sha256(b'chorus-sample/1:SEED:POSITION').digest()[:8], 'big') >> 11, over 2^53.
    expect(uniformAt(0, 0)).toBe(0.6323832179809228);
    expect(uniformAt(42, 17)).toBe(0.6445814130992537);
    expect(uniformAt(-1, 131_071)).toBe(0.11932657046368367);
    expect(uniformAt(Number.MAX_SAFE_INTEGER, 1)).toBe(0.3266559434018883);
  });

  it('takes the first token whose share of the weights is not used up', () => {
    expect(drawInversely(candidates, sampling, 17)).toBe(9);
    expect(drawInversely(candidates, { ...sampling, temperature: 0 }, 17)).toBe(7);
    expect(drawInversely(candidates, { ...sampling, topP: 0.2 }, 17)).toBe(7);
  });
});

const listOf = (logits: readonly number[]) => readCandidates(logitsRow(logits), logits.length, logits.length);

describe('the token gap', () => {
  const even = listOf([Math.log(0.4), Math.log(0.3), Math.log(0.2), Math.log(0.1)]);
  const greedy = { temperature: 0, topP: 1, seed: 0 };
  const drawing = { temperature: 1, topP: 1, seed: 5 };

  test('is nothing for the token that these logits give', () => {
    for (let position = 0; position < 50; position++) {
      for (const sampling of [greedy, drawing, { ...drawing, topP: 0.5, temperature: 0.7 }]) {
        const token = drawInversely(even, sampling, position);
        expect(inverseTokenGap(even, sampling, position, token)).toBe(0);
      }
    }
  });

  test('without temperature is the distance of the logits', () => {
    expect(inverseTokenGap(even, greedy, 3, 2)).toBeCloseTo(Math.log(0.4) - Math.log(0.2), 6);
    expect(inverseTokenGap(even, greedy, 3, 99)).toBe(Infinity);
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
        expect(inverseTokenGap(even, drawing, position, token)).toBeCloseTo(expected, 5);
      });
      expect(inverseTokenGap(even, drawing, position, 99)).toBe(1);
    }
  });

  test('of a token outside the nucleus is how far beyond its end that lies', () => {
    const nucleus = { ...drawing, topP: 0.69 };
    const drawn = uniformAt(drawing.seed, 1);
    expect(inverseTokenGap(even, nucleus, 1, 3)).toBeCloseTo(0.9 / 0.7 - drawn, 5);
  });

  test('is nothing between tokens whose logits are as good as equal, for they may have changed places', () => {
    const tied = listOf([2, 2.001, -8, -9]);
    const swapped = listOf([2.001, 2, -8, -9]);
    for (let position = 0; position < 50; position++) {
      const token = drawInversely(swapped, drawing, position);
      expect(inverseTokenGap(tied, drawing, position, token)).toBe(0);
    }
  });
});
