import { describe, expect, it } from 'vitest';
import { nameStage, sayUnchecked, type UncheckedAnswer } from '#shared/judge/describe-unchecked.ts';
import type { Tier, UncheckedReason } from '#shared/judge/finding.ts';

const ranges = [
  { start: 0, end: 4, embedding: true, head: false },
  { start: 4, end: 8, embedding: false, head: true },
];
type Stage = readonly [Tier, UncheckedReason?];
const span = (...stages: Stage[]) => ({
  tier: stages.some(([tier]) => tier === 'unchecked') ? ('unchecked' as const) : ('checked' as const),
  stages: stages.map(([tier, reason = null], stage) => ({ stage, tier, reason })),
});
const good = span(['checked'], ['checked']);
const alone: Stage = ['unchecked', 'alone'];

/** `rest`: chunks that ended without a verdict. */
function say(spans: UncheckedAnswer['spans'], rest = 0, more: Partial<UncheckedAnswer> = {}): string {
  const unchecked = spans.filter(({ tier }) => tier === 'unchecked').length + rest;
  const counts = { checked: spans.length + rest - unchecked, settled: 0, unchecked, disputed: 0 };
  return sayUnchecked({ spans, counts, ranges, hasShadows: true, isStopped: false, ...more });
}

describe('an answer that is unchecked', () => {
  it.each([
    [
      'at one stage of two',
      [span(['checked'], alone)],
      'partly unchecked: stage 2 (layers 4–7 + head) was computed by one volunteer only; all else had the same result twice',
    ],
    [
      'at one stage in one chunk',
      [good, span(alone, ['checked']), good],
      'partly unchecked: stage 1 (embedding + layers 0–3) was computed by one volunteer only in 1 of 3 chunks; all else had the same result twice',
    ],
    [
      'at each stage in another chunk',
      [span(alone, ['checked']), span(['checked'], alone)],
      'partly unchecked: stage 1 (embedding + layers 0–3) and stage 2 (layers 4–7 + head) were computed by one volunteer only; all else had the same result twice',
    ],
    ['in one chunk', [good, span(alone, alone)], 'partly unchecked: 1 of 2 chunks was computed by one volunteer only'],
    ['in all', [span(alone, alone), span(alone, alone)], 'unchecked: both chunks were computed by one volunteer only'],
    [
      'for another reason',
      [good, span(['checked'], ['unchecked', 'draws-differ'])],
      'partly unchecked: stage 2 (layers 4–7 + head) could not be checked in 1 of 2 chunks; all else had the same result twice',
    ],
  ] as const)('%s is said to be so there', (_title, spans, sentence) => {
    expect(say(spans)).toBe(sentence);
  });

  it('because one volunteer a stage ran it says so, however it ended', () => {
    const bare = { hasShadows: false, isStopped: true };
    expect(say([], 1, bare)).toBe('unchecked: one volunteer per stage ran this, nobody re-ran it');
    expect(say([span(alone, alone)], 1, bare)).toBe('unchecked: one volunteer per stage ran this, nobody re-ran it');
  });

  it.each([
    ['before its first verdict', [], 'unchecked: stopped before its first check was finished'],
    ['after some', [good, good], 'partly unchecked: stopped before the rest of it was checked'],
    [
      'after some that are unchecked',
      [good, span(['checked'], alone)],
      'partly unchecked: stage 2 (layers 4–7 + head) was computed by one volunteer only in 1 of 3 chunks; stopped before the rest of it was checked; all else had the same result twice',
    ],
  ] as const)('since it was stopped %s is not said to have had one volunteer only', (_title, spans, sentence) => {
    expect(say(spans, 1, { isStopped: true })).toBe(sentence);
  });

  it('since it broke off is not said to have been stopped', () => {
    expect(say([good], 1)).toBe('partly unchecked: it ended before the rest of it was checked');
    expect(say([], 0, { ranges: [], hasShadows: false })).toBe(
      'unchecked: it ended before its first check was finished',
    );
  });
});

it('stages are counted from 1, also where their layers are not known', () => {
  expect(nameStage(0, undefined)).toBe('stage 1');
});
