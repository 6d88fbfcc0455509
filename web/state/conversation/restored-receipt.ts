import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import type { MadeReceipt } from './chat.ts';

/** A receipt that was kept, with the verdict that it states; null where what was kept is no receipt. */
export function restoredReceipt(
  kept: (Omit<MadeReceipt, 'verdict' | 'file'> & { readonly file: ReceiptFile }) | null,
): MadeReceipt | null {
  if (kept === null) return null;
  try {
    const { verdict, spans } = parseStatement(kept.file).predicate;
    return { ...kept, verdict: { ...verdict, spans } };
  } catch {
    return null;
  }
}
