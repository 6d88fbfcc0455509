import { describe, expect, it } from 'vitest';
import { explainHiddenSessions, explainStanding, nameGate } from '../../../web/words/explain-trust.ts';

const standing = { gate: 'open', spans: 3, neededSpans: 10, reason: null, untilMs: null } as const;

describe('the words for a standing', () => {
  it('say how far a probation is, and that its count moves late', () => {
    expect(explainStanding(standing)).toMatch(/new: .* until 10 chunks were found right\. 3 were so far; .* late/);
    expect(explainStanding({ ...standing, spans: 10 })).toMatch(/trusted/);
  });

  it('say that a tab is tried before its first work', () => {
    expect(explainStanding({ ...standing, gate: 'trial' })).toMatch(/tries this tab .* Work comes once it has passed/);
  });

  it('say why a tab is left out, with or without a time', () => {
    const closed = { ...standing, gate: 'closed', reason: 'it was silent.' } as const;
    expect(explainStanding(closed)).toBe('This tab gets no work for a while: it was silent.');
    expect(explainStanding({ ...closed, untilMs: Date.UTC(2026, 0, 1) })).toMatch(/until .*\d.*: it was silent\.$/);
  });

  it('name what is no plain work in the table of volunteers', () => {
    expect((['open', 'trial', 'closed'] as const).map(nameGate)).toEqual([null, 'being tried', 'left out for now']);
  });
});

describe('the words for the server’s own sessions', () => {
  const none = { passed: 0, failed: 0, unclear: 0 };

  it('count them and what they found', () => {
    const sessions = { trial: { ...none, passed: 2, failed: 1 }, later: { ...none, unclear: 1 } };
    const words = explainHiddenSessions({ sessions, tokens: 9, anchorMs: 1, steerers: 0 });
    expect(words).toMatch(/4 answers of its own to try volunteers; 1 of them found something wrong/);
  });

  it('say that there are such sessions before any is counted', () => {
    const sums = { sessions: { trial: none, later: none }, tokens: 0, anchorMs: 0, steerers: 0 };
    expect(explainHiddenSessions(sums)).toMatch(/counts them once an hour/);
  });
});
