import { createMemoryStore } from '../../signal-server/store/memory/memory-store.ts';
import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import type { Store } from '../../signal-server/store/store.ts';

export const STORE_KINDS = ['SQLite', 'memory'] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

/** Opens the store of a data folder, again and again. A store in memory lives as long as this function. */
export function storeOpener(kind: StoreKind, folder: string): () => Promise<Store> {
  if (kind === 'SQLite') return () => openSqliteStore(folder);
  const store = createMemoryStore();
  return () => Promise.resolve(store);
}
