import { join } from 'node:path';
import type { Store } from '../store.ts';
import { closeLocked, openLocked } from './locked-database.ts';
import { migrate } from './schema.ts';
import { createSqliteAcknowledgedSizes } from './sqlite-acknowledged-sizes.ts';
import { createSqliteHistoryStore } from './sqlite-history-store.ts';
import { createSqliteListedReceipts } from './sqlite-listed-receipts.ts';
import { createSqliteReceiptStore } from './sqlite-receipt-store.ts';
import { createSqliteTrustStore } from './sqlite-trust-store.ts';
import { WriteGroup } from './write-group.ts';

/**
 * Opens `chorus.sqlite` in a data folder, and keeps it locked until `close`. The file is in this process: it answers reads
 * by itself, so that the server's memory does not grow with every key that was ever seen. Throws ChorusError `internal`
 * if another process has it, or if a newer Chorus wrote it.
 */
export async function openSqliteStore(folder: string): Promise<Store> {
  const database = openLocked(join(folder, 'chorus.sqlite'), migrate);
  const writes = new WriteGroup(database);
  return {
    history: createSqliteHistoryStore(database, writes),
    trust: createSqliteTrustStore(database, writes),
    acknowledged: createSqliteAcknowledgedSizes(database, writes),
    receipts: createSqliteReceiptStore(database, writes),
    listed: createSqliteListedReceipts(database, writes),
    async close() {
      if (writes.close()) closeLocked(database);
    },
  };
}
