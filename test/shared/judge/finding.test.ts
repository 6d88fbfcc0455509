import { describe, expect, it } from 'vitest';
import { countTiers, lowestTier, noCounts } from '#shared/judge/finding.ts';

describe('tiers', () => {
  it('are as low together as the lowest of them', () => {
    expect(lowestTier(['checked', 'settled', 'checked'])).toBe('settled');
    expect(lowestTier(['settled', 'unchecked', 'checked'])).toBe('unchecked');
    expect(lowestTier(['unchecked', 'disputed'])).toBe('disputed');
    expect(lowestTier([])).toBe('unchecked');
  });

  it('are counted, those that nothing has among them', () => {
    const counts = countTiers(['checked', 'settled', 'checked']);
    expect(counts).toEqual({ checked: 2, settled: 1, unchecked: 0, disputed: 0 });
    expect(noCounts()).toEqual({ checked: 0, settled: 0, unchecked: 0, disputed: 0 });
  });
});
