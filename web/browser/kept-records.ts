import type { IDBPDatabase } from 'idb';
import type { Clock } from '#shared/clock.ts';
import { KeptDatabase } from './kept-database.ts';
import { NotKept, type StorageFault } from './not-kept.ts';
import type { StorageHealth } from './storage-health.ts';

export interface KeptRecordsOptions<Value> {
  /** Of the database, which has no other store than `store`. */
  readonly database: string;
  readonly store: string;
  /** A record as it was stored; throws at one that this page cannot use, which then counts as absent. */
  readonly parse: (stored: unknown) => Value;
  /** Told once, with the first record that is not kept or cannot be read. */
  readonly onNotKept: (fault: StorageFault) => void;
  readonly health?: StorageHealth;
  readonly clock?: Clock;
}

/**
 * Records by their key: on this device where the browser keeps them, else in the memory of this page, where they last as long
 * as the page does. No call rejects, and none takes longer than 2 s of a storage that is silent.
 */
export class KeptRecords<Key extends string | number, Value> {
  readonly #options: KeptRecordsOptions<Value>;
  readonly #database: KeptDatabase;
  /** What the storage did not take; null for a record that it could not delete. */
  readonly #memory = new Map<Key, Value | null>();
  #fault: StorageFault | null = null;
  #isClosed = false;

  constructor(options: KeptRecordsOptions<Value>) {
    const { database: name, store, health, clock } = options;
    this.#options = options;
    const upgrade = (database: IDBPDatabase) => void database.createObjectStore(store);
    this.#database = new KeptDatabase({ name, version: 1, upgrade, health, clock });
  }

  /** What the storage failed with first, if it did: records that seem absent may be there. */
  get fault(): StorageFault | null {
    return this.#fault;
  }

  async get(key: Key): Promise<Value | null> {
    const held = this.#memory.get(key);
    if (held !== undefined) return held;
    const stored = await this.#orFault<unknown>((database) => database.get(this.#options.store, key));
    return stored instanceof NotKept ? null : this.#parsed(stored);
  }

  /** Every record, in the order of the keys. One that cannot be read is left out. */
  async all(): Promise<Map<Key, Value>> {
    const { store } = this.#options;
    const keys = await this.#orFault((database) => database.getAllKeys(store));
    const found = new Map<Key, Value>();
    // One by one, since one that is damaged would fail them all.
    for (const key of keys instanceof NotKept ? [] : (keys as Key[])) {
      const value = await this.get(key);
      if (value !== null) found.set(key, value);
    }
    for (const [key, value] of this.#memory) if (value !== null) found.set(key, value);
    return found;
  }

  /** True where the record is on the device now; false where it lasts as long as this page. */
  async put(key: Key, value: Value): Promise<boolean> {
    const put = await this.#orFault((database) => database.put(this.#options.store, value, key));
    if (put instanceof NotKept) this.#memory.set(key, value);
    else this.#memory.delete(key);
    return !(put instanceof NotKept);
  }

  async delete(key: Key): Promise<void> {
    const deleted = await this.#orFault((database) => database.delete(this.#options.store, key));
    if (deleted instanceof NotKept) this.#memory.set(key, null);
    else this.#memory.delete(key);
  }

  /** Lets the database go; what is only in memory is lost. */
  close(): void {
    this.#isClosed = true;
    this.#database.close();
    this.#memory.clear();
  }

  async #orFault<Result>(work: (database: IDBPDatabase) => Promise<Result>): Promise<Result | NotKept> {
    try {
      return await this.#database.run(work);
    } catch (thrown) {
      if (!(thrown instanceof NotKept)) throw thrown;
      if (this.#fault === null && !this.#isClosed) this.#options.onNotKept(thrown.fault);
      this.#fault ??= thrown.fault;
      return thrown;
    }
  }

  #parsed(stored: unknown): Value | null {
    if (stored === undefined) return null;
    try {
      return this.#options.parse(stored);
    } catch {
      return null;
    }
  }
}
