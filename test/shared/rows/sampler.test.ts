import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logitsRowBytes, readCandidates, type Candidates } from '#shared/rows/logits-row.ts';
import { gumbel, noiseAt, sampleToken, tokenGap } from '#shared/rows/sampler.ts';
import { codeOf } from '../../support/code-of.ts';
import vectors from '../../vectors/sampler.json' with { type: 'json' };

/** A vocabulary of which the candidates are the best: the rest only weighs in the log-sum-exp. */
function candidatesOf(logits: readonly number[], count: number): Candidates {
  const order = logits.map((_, token) => token).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const best = order.slice(0, count);
  return {
    logSumExp: Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)),
    tokens: Uint32Array.from(best),
    logits: Float32Array.from(best.map((token) => logits[token]!)),
  };
}

function row(logSumExp: number, pairs: readonly (readonly [number, number])[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(logitsRowBytes(pairs.length));
  const view = new DataView(bytes.buffer);
  view.setFloat32(0, logSumExp, true);
  pairs.forEach(([token, logit], i) => {
    view.setUint32(4 + 8 * i, token, true);
    view.setFloat32(8 + 8 * i, logit, true);
  });
  return bytes;
}

const words = new DataView(new ArrayBuffer(8));

/** The bits of a double, as a whole number. */
function bitsOf(value: number): bigint {
  words.setFloat64(0, value);
  return words.getBigUint64(0);
}

describe('the noise of a token', () => {
  it('has the bits that its specification gives', () => {
    for (const { n, bits } of vectors.gumbel) expect(bitsOf(gumbel(n))).toBe(BigInt(`0x${bits}`));
    for (const { seed, position, token, n } of vectors.numbers) {
      expect(noiseAt(seed, position)(token)).toBe(gumbel(n));
    }
  });

  it('is the true value to 47 bits after the point, from the smallest number to the largest', () => {
    for (const { n, near } of vectors.gumbel) expect(Math.abs(gumbel(n) - near)).toBeLessThanOrEqual(2 ** -47);
  });

  it('spreads as a Gumbel distribution does', () => {
    const buckets = new Array<number>(10).fill(0);
    for (let token = 0; token < 20_000; token++) {
      const rank = Math.exp(-Math.exp(-noiseAt(5, 9)(token)));
      buckets[Math.floor(10 * rank)]! += 1;
    }
    // Chi-square with 9 degrees of freedom is below 27.9 in 99.9 % of cases.
    expect(buckets.reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0)).toBeLessThan(27.9);
  });
});

describe('sampleToken', () => {
  it('takes the likeliest token at temperature 0, the lowest id among equals', () => {
    const candidates = candidatesOf([1, 3, 0, 3], 4);
    expect(sampleToken(candidates, { temperature: 0, topP: 1, seed: 1 }, 0).token).toBe(1);
  });

  it("reports the model's own probability, whatever the temperature", () => {
    const candidates = candidatesOf([2, 1, 0], 2);
    const whole = Math.exp(2) + Math.exp(1) + 1;
    for (const temperature of [0, 0.01]) {
      const { token, logprob } = sampleToken(candidates, { temperature, topP: 1, seed: 3 }, 9);
      expect(token).toBe(0);
      expect(logprob).toBeCloseTo(Math.log(Math.exp(2) / whole), 6);
    }
  });

  it('draws what another program draws by the specification', () => {
    for (const { logits, logSumExp, token, position, ...sampling } of vectors.draws) {
      const candidates = {
        logSumExp,
        tokens: Uint32Array.from(logits, ([id]) => id!),
        logits: Float32Array.from(logits, ([, logit]) => logit!),
      };
      expect(sampleToken(candidates, sampling, position).token).toBe(token);
    }
  });

  it('draws as often as brute force says, for temperature and nucleus', () => {
    const logits = [2.5, 2, 1.5, 1.2, 1, 0.2, -1, -3];
    const weightOf = (logit: number) => Math.exp(logit);
    const total = logits.reduce((sum, logit) => sum + weightOf(logit), 0);
    for (const [temperature, topP] of [
      [1, 1],
      [0.7, 1],
      [1.5, 0.6],
      [0.4, 0.85],
    ] as const) {
      let mass = 0;
      const nucleus = logits.slice(0, 6).filter((logit) => {
        const isIn = mass < topP;
        mass += weightOf(logit) / total;
        return isIn;
      });
      const tempered = nucleus.map((logit) => Math.exp(logit / temperature));
      const sum = tempered.reduce((a, b) => a + b, 0);
      const draws = 6000;
      const counts = new Array<number>(logits.length).fill(0);
      const candidates = candidatesOf(logits, 6);
      for (let i = 0; i < draws; i++) counts[sampleToken(candidates, { temperature, topP, seed: 11 }, i).token]! += 1;
      const expected = logits.map((_, token) => (draws * (tempered[token] ?? 0)) / sum);
      const chiSquare = counts.reduce((all, count, i) => {
        return expected[i] === 0 ? all : all + (count - expected[i]!) ** 2 / expected[i]!;
      }, 0);
      expect(counts.filter((_, token) => expected[token] === 0)).toEqual(expected.filter((e) => e === 0));
      // With 5 degrees of freedom it is below 20.5 in 99.9 % of cases, with fewer below less.
      expect(chiSquare).toBeLessThan(20.5);
    }
  });

  it('counts what the other tokens weigh: a nucleus is of the whole vocabulary', () => {
    // Two candidates hold half of the mass, so a nucleus of 0.4 needs both although the first has half of theirs.
    const candidates: Candidates = {
      logSumExp: Math.log(4),
      tokens: Uint32Array.of(7, 9),
      logits: Float32Array.of(0, 0),
    };
    const seen = new Set(
      Array.from({ length: 50 }, (_, i) => sampleToken(candidates, { temperature: 1, topP: 0.4, seed: 1 }, i).token),
    );
    expect(seen).toEqual(new Set([7, 9]));
  });

  it('always gives one of the candidates, the same one each time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 30 }),
        fc.double({ min: 0, max: 5, noNaN: true }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.maxSafeInteger(),
        fc.nat(),
        (logits, temperature, topP, seed, position) => {
          const candidates = candidatesOf(logits, 20);
          const sample = sampleToken(candidates, { temperature, topP, seed }, position);
          expect(candidates.tokens).toContain(sample.token);
          expect(sample.logprob).toBeLessThanOrEqual(0);
          expect(sampleToken(candidates, { temperature, topP, seed }, position)).toEqual(sample);
        },
      ),
    );
  });
});

describe('tokenGap', () => {
  // So far apart that none changes its place.
  const logitsOf = fc
    .array(fc.double({ min: 0.21, max: 1, noNaN: true }), { minLength: 2, maxLength: 20 })
    .map((steps) => steps.map((_, i) => -steps.slice(0, i).reduce((sum, step) => sum + step, 0)));
  const samplingOf = fc.record({
    temperature: fc.constantFrom(0, 0.5, 1),
    topP: fc.constantFrom(0.5, 0.9, 1),
    seed: fc.nat(),
  });

  it('is nothing for the token that is drawn, and no more than it takes to draw another', () => {
    fc.assert(
      fc.property(logitsOf, samplingOf, fc.double({ min: -0.1, max: 0.1, noNaN: true }), (logits, sampling, push) => {
        const [mine, theirs] = [logits, logits.map((logit, i) => logit + push * Math.sin(i))].map((each) =>
          candidatesOf(each, each.length),
        );
        const { token } = sampleToken(mine!, sampling, 7);
        expect(tokenGap(mine!, sampling, 7, token)).toBe(0);
        // Each of two logits moved by the push at most, and what all together weigh by the same factor.
        expect(tokenGap(theirs!, sampling, 7, token)).toBeLessThanOrEqual(2 * Math.abs(push) + 1e-6);
      }),
      { numRuns: 500 },
    );
  });

  it('is infinite for a token that is no candidate', () => {
    expect(tokenGap(candidatesOf([1, 2, 3], 2), { temperature: 0, topP: 1, seed: 0 }, 0, 0)).toBe(Infinity);
  });
});

describe('readCandidates', () => {
  const right: readonly (readonly [number, number])[] = [
    [5, 2],
    [1, 1],
    [3, 1],
  ];

  it('reads what a last stage sends', () => {
    const candidates = readCandidates(row(2.5, right), 10, 3);
    expect(candidates).toEqual({
      logSumExp: 2.5,
      tokens: Uint32Array.of(5, 1, 3),
      logits: Float32Array.of(2, 1, 1),
    });
  });

  it.each<[string, Uint8Array<ArrayBuffer>]>([
    ['a wrong size', row(2.5, right.slice(1))],
    ['a token outside the vocabulary', row(2.5, [[10, 2], ...right.slice(1)])],
    ['a logit that is no number', row(2.5, [[5, NaN], ...right.slice(1)])],
    ['an infinite logit', row(2.5, [[5, Infinity], ...right.slice(1)])],
    ['a log-sum-exp that is no number', row(NaN, right)],
    ['logits that rise', row(2.5, [...right.slice(1), [5, 2]])],
    [
      'equal logits whose ids fall',
      row(2.5, [
        [5, 2],
        [3, 1],
        [1, 1],
      ]),
    ],
    [
      'a token twice',
      row(2.5, [
        [5, 2],
        [1, 1],
        [1, 1],
      ]),
    ],
    [
      'a token twice whose logits fall',
      row(2.5, [
        [5, 2],
        [1, 1],
        [1, 0.5],
      ]),
    ],
  ])('refuses %s as bad-message', (_, bytes) => {
    expect(codeOf(() => readCandidates(bytes, 10, 3))).toBe('bad-message');
  });
});
