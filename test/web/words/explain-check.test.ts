import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { UNCHECKED_REASONS } from '#shared/judge/finding.ts';
import { explainDraws, explainStageCheck } from '../../../web/words/explain-check.ts';
import { findingOf, spanOf } from '../../support/verdicts.ts';

const [check] = spanOf(0, 32).stages;
const lost = (count: number) => findingOf(1e-5, { draws: { drawn: 20, lost: count, firstLost: 5 } });
const anchor = 'a'.repeat(64) as PeerId;

describe('what became of tokens drawn differently', () => {
  it('is nothing where all drew the same, or nothing was drawn', () => {
    expect(explainDraws(check!)).toBeNull();
    expect(explainDraws({ ...check!, findings: [lost(0)] })).toBeNull();
  });

  it('is said in one sentence', () => {
    const one = explainDraws({ ...check!, findings: [lost(1)] });
    expect(one).toBe('Two devices agreed within limits but drew another token; the exact one’s went on.');
    expect(explainDraws({ ...check!, findings: [lost(3)] })).toContain('drew 3 other tokens');
    const shadows = explainDraws({ ...check!, findings: [lost(1)], drawnBy: lost(1).shadow });
    expect(shadows).toContain('at the end of this chunk; the exact one’s went on');
    const arbiter = { id: anchor, role: 'referee', numericClass: 'wasm' } as const;
    const referees = explainDraws({ ...check!, tier: 'settled', findings: [lost(1)], drawnBy: anchor, arbiter });
    expect(referees).toContain('the anchor’s went on');
  });

  it('is left to the reason where the chunk is unchecked for it', () => {
    const open = { ...check!, tier: 'unchecked', reason: 'draws-differ', findings: [lost(1)] } as const;
    expect(explainDraws(open)).toBeNull();
    expect(explainStageCheck(open)).toContain('drew different tokens');
  });
});

describe('an unchecked chunk', () => {
  it('says why, for each reason in other words', () => {
    const said = UNCHECKED_REASONS.map((reason) => explainStageCheck({ ...check!, tier: 'unchecked', reason }));
    expect(new Set(said).size).toBe(UNCHECKED_REASONS.length);
  });

  it('say that every bit is the same where it is, and within tolerance where it is not', () => {
    const [finding] = check!.findings;
    const exact = { ...check!, tier: 'checked' as const, findings: [{ ...finding!, isExact: true }] };
    expect(explainStageCheck(exact)).toMatch(/every bit is the same\.$/);
    expect(explainStageCheck({ ...exact, findings: [{ ...finding!, isExact: false }] })).toMatch(/within tolerance\.$/);
  });
});
