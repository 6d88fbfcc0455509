import type { z } from 'zod';

/** The part of `localStorage` that is used. */
export type KeyValueStorage = Pick<Storage, 'getItem' | 'setItem'>;

/** A small value that outlives the page. The stored text is parsed; anything unfit gives the first value back. */
export class Stored<T> {
  readonly #storage: KeyValueStorage;
  readonly #key: string;
  readonly #schema: z.ZodType<T>;
  readonly #first: T;
  #value: T = $state.raw() as T;
  /** The stored text as this page read or wrote it last. */
  #text: string | null = null;

  constructor(storage: KeyValueStorage, key: string, schema: z.ZodType<T>, first: T) {
    this.#storage = storage;
    this.#key = key;
    this.#schema = schema;
    this.#first = first;
    this.#value = first;
    this.reread();
  }

  get value(): T {
    return this.#value;
  }

  set value(value: T) {
    this.#value = value;
    try {
      const text = JSON.stringify(value);
      this.#storage.setItem(this.#key, text);
      this.#text = text;
    } catch {
      // Storage is full or forbidden: the choice then lasts as long as the page.
    }
  }

  /** Replaces some fields. */
  update(change: Partial<T>): void {
    this.value = { ...this.#value, ...change };
  }

  /** Takes up what another tab has stored since. Where none has, the value stays the same object. */
  reread(): T {
    const text = this.#read();
    if (text !== this.#text) {
      this.#text = text;
      this.#value = parse(text, this.#schema) ?? this.#first;
    }
    return this.#value;
  }

  #read(): string | null {
    try {
      return this.#storage.getItem(this.#key);
    } catch {
      return this.#text;
    }
  }
}

function parse<T>(text: string | null, schema: z.ZodType<T>): T | null {
  try {
    return schema.parse(JSON.parse(text ?? 'null'));
  } catch {
    return null;
  }
}
