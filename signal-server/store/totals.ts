import { countsBy, type CheckCounts } from '#shared/judge/finding.ts';
import type { SessionRecord, Totals } from './history-store.ts';

export function addToTotals(totals: Totals, { outcome, tokens, checks }: SessionRecord): Totals {
  return {
    finished: totals.finished + (outcome === 'failed' ? 0 : 1),
    failed: totals.failed + (outcome === 'failed' ? 1 : 0),
    tokens: totals.tokens + tokens,
    ...addCounts(totals, checks),
  };
}

export function addCounts(a: CheckCounts, b: CheckCounts): CheckCounts {
  return countsBy((tier) => a[tier] + b[tier]);
}
