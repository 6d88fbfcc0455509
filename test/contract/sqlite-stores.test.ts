import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import { openSqliteWitnessStore } from '../../signal-server/store/sqlite/sqlite-witness-store.ts';
import { newFolder, removeFolder } from '../support/log-stand.ts';
import { describeAcknowledgedSizes } from './acknowledged-sizes-contract.ts';
import { describeHistoryStore } from './history-store-contract.ts';
import { describeListedReceipts } from './listed-receipts-contract.ts';
import type { OpenedStore } from './opened-store.ts';
import { describeReceiptStore } from './receipt-store-contract.ts';
import { describeTrustStore } from './trust-store-contract.ts';
import { describeWitnessStore } from './witness-store-contract.ts';

/** Opens a store in a new folder, of which this part is held to its contract. */
function opening<Opened extends { close(): Promise<void> }, Port>(
  open: (folder: string) => Promise<Opened>,
  portOf: (opened: Opened) => Port,
): () => Promise<OpenedStore<Port>> {
  return async () => {
    const folder = await newFolder();
    let opened = await open(folder);
    return {
      store: portOf(opened),
      async reopen() {
        await opened.close();
        opened = await open(folder);
        return portOf(opened);
      },
      async release() {
        await opened.close();
        await removeFolder(folder);
      },
    };
  };
}

describeHistoryStore(
  'SQLite',
  opening(openSqliteStore, ({ history }) => history),
);
describeTrustStore(
  'SQLite',
  opening(openSqliteStore, ({ trust }) => trust),
);
describeReceiptStore(
  'SQLite',
  opening(openSqliteStore, ({ receipts }) => receipts),
);
describeListedReceipts(
  'SQLite',
  opening(openSqliteStore, ({ listed }) => listed),
);
describeAcknowledgedSizes(
  'SQLite',
  opening(openSqliteStore, ({ acknowledged }) => acknowledged),
);
describeWitnessStore(
  'SQLite',
  opening(openSqliteWitnessStore, (store) => store),
);
