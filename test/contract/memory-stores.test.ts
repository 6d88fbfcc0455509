import { createMemoryStore } from '../../signal-server/store/memory/memory-store.ts';
import { createMemoryWitnessStore } from '../../signal-server/store/memory/memory-witness-store.ts';
import { holdPenalties } from '../../signal-server/trust/held-penalties.ts';
import { describeAcknowledgedSizes } from './acknowledged-sizes-contract.ts';
import { describeHistoryStore } from './history-store-contract.ts';
import { describeListedReceipts } from './listed-receipts-contract.ts';
import type { OpenedStore } from './opened-store.ts';
import { describeReceiptStore } from './receipt-store-contract.ts';
import { describeTrustStore } from './trust-store-contract.ts';
import { describeWitnessStore } from './witness-store-contract.ts';

/** A store in memory has no restart: opened anew, it is the same. */
function opening<Port>(create: () => Port): () => Promise<OpenedStore<Port>> {
  return () => {
    const store = create();
    return Promise.resolve({ store, reopen: () => Promise.resolve(store), release: () => Promise.resolve() });
  };
}

describeHistoryStore(
  'memory',
  opening(() => createMemoryStore().history),
);
describeTrustStore(
  'memory',
  opening(() => createMemoryStore().trust),
);
describeTrustStore(
  'memory, with penalties held where they cannot be written',
  opening(() => holdPenalties({ store: createMemoryStore().trust, onNews: throwNews, onError: throwNews })),
);
describeReceiptStore(
  'memory',
  opening(() => createMemoryStore().receipts),
);
describeListedReceipts(
  'memory',
  opening(() => createMemoryStore().listed),
);
describeAcknowledgedSizes(
  'memory',
  opening(() => createMemoryStore().acknowledged),
);
describeWitnessStore('memory', opening(createMemoryWitnessStore));

function throwNews(news: unknown): void {
  throw new Error(`nothing is to be told where everything can be written: ${String(news)}`);
}
