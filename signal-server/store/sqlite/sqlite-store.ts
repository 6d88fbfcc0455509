import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import type { Store } from '../store.ts';
import { closeLocked, copyOpened, openLocked } from './locked-database.ts';
import { migrate } from './schema.ts';
import { createSqliteAcknowledgedSizes } from './sqlite-acknowledged-sizes.ts';
import { createSqliteHistoryStore } from './sqlite-history-store.ts';
import { createSqliteListedReceipts } from './sqlite-listed-receipts.ts';
import { createSqliteReceiptStore } from './sqlite-receipt-store.ts';
import { createSqliteTrustStore } from './sqlite-trust-store.ts';
import { WriteGroup } from './write-group.ts';

export interface SqliteStore extends Store {
  /** Copies all that was appended before this call into a file, while the store goes on. One copy at a time. */
  copyTo(path: string): Promise<void>;
}

/**
 * Opens `chorus.sqlite` in a data folder, and keeps it locked until `close`. The file is in this process: it answers reads
 * by itself, so that the server's memory does not grow with every key that was ever seen. Throws ChorusError `internal`
 * if another process has it, or if a newer Chorus wrote it.
 */
export async function openSqliteStore(folder: string): Promise<SqliteStore> {
  const path = join(folder, 'chorus.sqlite');
  const database = openLocked(path, migrate);
  const writes = new WriteGroup(database);
  let copying: Promise<void> | null = null;
  return {
    history: createSqliteHistoryStore(database, writes),
    trust: createSqliteTrustStore(database, writes),
    acknowledged: createSqliteAcknowledgedSizes(database, writes),
    receipts: createSqliteReceiptStore(database, writes),
    listed: createSqliteListedReceipts(database, writes),
    copyTo(to) {
      if (copying !== null) return Promise.reject(new ChorusError('rate-limited', `${path} is being copied already`));
      writes.flush();
      copying = copyOpened(database, path, to).finally(() => (copying = null));
      return copying;
    },
    async close() {
      await copying?.catch(() => undefined);
      if (writes.close()) closeLocked(database);
    },
  };
}
