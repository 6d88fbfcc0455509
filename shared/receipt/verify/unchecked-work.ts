import { sayUnchecked } from '../../judge/describe-unchecked.ts';
import type { ReceiptSummary } from './receipt-summary.ts';

/** What of its work a receipt says is unchecked, and why. */
export function uncheckedWork({ spans, counts, stages }: Pick<ReceiptSummary, 'spans' | 'counts' | 'stages'>): string {
  const ranges = stages.map(({ range }) => range);
  const hasShadows = stages.some(({ replicas }) => replicas.length > 1);
  return sayUnchecked({ spans, counts, ranges, hasShadows, isStopped: false });
}
