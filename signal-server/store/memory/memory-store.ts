import type { Store } from '../store.ts';
import { createMemoryAcknowledgedSizes } from './memory-acknowledged-sizes.ts';
import { createMemoryHistoryStore } from './memory-history-store.ts';
import { createMemoryListedReceipts } from './memory-listed-receipts.ts';
import { createMemoryReceiptStore } from './memory-receipt-store.ts';
import { createMemoryTrustStore } from './memory-trust-store.ts';

/** Keeps everything as long as the process lives: there is nothing to wait for, and all of it is confirmed at once. */
export function createMemoryStore(): Store {
  return {
    history: createMemoryHistoryStore(),
    trust: createMemoryTrustStore(),
    acknowledged: createMemoryAcknowledgedSizes(),
    receipts: createMemoryReceiptStore(),
    listed: createMemoryListedReceipts(),
    close: () => Promise.resolve(),
  };
}
