import { describe, expect, it } from 'vitest';
import { explainTrust, nameTrust, trustState, type VolunteerTrust } from '../../../web/words/explain-trust.ts';

const trust = (change: Partial<VolunteerTrust> = {}): VolunteerTrust => ({
  ...{ witnessedSpans: 3, agreedSpans: 12, isNew: true, isLongTrusted: false, suspendedUntilMs: null },
  ...change,
});

describe('the words for trust', () => {
  it('of a new key count what the server saw, and tell apart what others merely agreed with', () => {
    expect(nameTrust(trust(), 0)).toBe('new, 3 of 10');
    expect(explainTrust(trust(), 0)).toContain('It has seen 3 so far; 12 more agreed');
  });

  it('of a key that is not new count both', () => {
    const proven = trust({ witnessedSpans: 1, isNew: false });
    expect(nameTrust(proven, 0)).toBe('13');
    expect(explainTrust(proven, 0)).toBe(
      'The server saw 1 chunk of this tab’s work to be right; 12 more agreed with what others computed.',
    );
  });

  it('name a suspension until it is over', () => {
    const suspended = trust({ suspendedUntilMs: 1_000 });
    expect([999, 1_000].map((nowMs) => trustState(suspended, nowMs))).toEqual(['suspended', 'new']);
    expect(nameTrust(suspended, 0)).toMatch(/^suspended until /);
  });
});
