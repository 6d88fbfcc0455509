import type { z } from 'zod';

/** What of `localStorage` is used. */
export type KeyValueStorage = Pick<Storage, 'getItem' | 'setItem'>;

/** A small value that outlives the page. What storage holds is parsed; anything unfit gives the first value back. */
export class Stored<T> {
  readonly #storage: KeyValueStorage;
  readonly #key: string;
  #value: T = $state.raw() as T;

  constructor(storage: KeyValueStorage, key: string, schema: z.ZodType<T>, first: T) {
    this.#storage = storage;
    this.#key = key;
    this.#value = read(storage, key, schema) ?? first;
  }

  get value(): T {
    return this.#value;
  }

  set value(value: T) {
    this.#value = value;
    try {
      this.#storage.setItem(this.#key, JSON.stringify(value));
    } catch {
      // Storage is full or forbidden: the choice then lasts as long as the page.
    }
  }

  /** Replaces some fields. */
  update(change: Partial<T>): void {
    this.value = { ...this.#value, ...change };
  }
}

function read<T>(storage: KeyValueStorage, key: string, schema: z.ZodType<T>): T | null {
  try {
    return schema.parse(JSON.parse(storage.getItem(key) ?? 'null'));
  } catch {
    return null;
  }
}
