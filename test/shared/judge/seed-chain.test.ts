import { describe, expect, test } from 'vitest';
import { createSeedChain, isSeed } from '#shared/judge/seed-chain.ts';
import { MAX_CHECKS } from '#shared/limits.ts';
import { codeOf } from '../../support/code-of.ts';

const secret = new Uint8Array(32).fill(7);
const chain = createSeedChain(secret, 20);
const claim = { known: chain.seed(3), knownIndex: 3, seed: chain.seed(8), index: 8 };

describe('a chain of seeds', () => {
  test('proves each seed by the anchor and by every seed before it', () => {
    expect(isSeed(claim)).toBe(true);
    expect(isSeed({ ...claim, known: chain.anchor, knownIndex: 0 })).toBe(true);
  });

  test.each([
    ['another number', { index: 9 }],
    ['another seed', { seed: chain.seed(9) }],
    ['a seed of an earlier span', { seed: chain.seed(2), index: 2 }],
    ['a seed of a wrong size', { seed: new Uint8Array(31) }],
    ['another anchor', { known: createSeedChain(secret, 19).anchor, knownIndex: 0 }],
    ['a number that is none', { index: 8.5 }],
  ])('is not proven by %s', (_, change) => {
    expect(isSeed({ ...claim, ...change })).toBe(false);
  });

  test('takes as many steps as a session has spans, and no more', () => {
    const whole = createSeedChain(secret);
    expect(isSeed({ known: whole.anchor, knownIndex: 0, seed: secret, index: MAX_CHECKS })).toBe(true);
    expect(isSeed({ ...claim, index: MAX_CHECKS + 4 })).toBe(false);
  });

  test('has seeds for so many spans and no more, and its anchor is none of them', () => {
    expect(chain.seed(20)).toEqual(secret);
    expect(codeOf(() => chain.seed(21))).toBe('too-long');
    expect(codeOf(() => chain.seed(0))).toBe('too-long');
  });
});
