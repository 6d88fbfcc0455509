import { countsBy, type CheckCounts } from '#shared/judge/finding.ts';
import type { PastSession, Totals } from './history-store.ts';

export function addToTotals(totals: Totals, { outcome, tokens, checks }: PastSession): Totals {
  return {
    finished: totals.finished + (outcome === 'failed' ? 0 : 1),
    failed: totals.failed + (outcome === 'failed' ? 1 : 0),
    tokens: totals.tokens + tokens,
    ...addCheckCounts(totals, checks),
  };
}

export function addCheckCounts(a: CheckCounts, b: CheckCounts): CheckCounts {
  return countsBy((tier) => a[tier] + b[tier]);
}
