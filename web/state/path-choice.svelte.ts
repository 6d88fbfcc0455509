import { z } from 'zod';
import { Listeners } from '#shared/listeners.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

/** Null: as the operator would have it. */
const pathSchema = z.object({ relayOnly: z.boolean().nullable() });

/**
 * The way to other peers: directly where that can be, which shows them this device's network address, or through the server
 * only. The operator's default holds until the page's owner chooses, and the choice is kept in this browser.
 */
export class PathChoice {
  /** As the server says it; null before that was heard. */
  relayByDefault: boolean | null = $state(null);
  readonly #own: Stored<z.infer<typeof pathSchema>>;
  readonly #listeners = new Listeners();

  constructor(storage: KeyValueStorage) {
    this.#own = new Stored(storage, 'chorus.path', pathSchema, { relayOnly: null });
  }

  get isRelayOnly(): boolean {
    return this.#own.value.relayOnly ?? this.relayByDefault ?? false;
  }

  /** True once it cannot turn out to be otherwise. */
  get isKnown(): boolean {
    return this.#own.value.relayOnly !== null || this.relayByDefault !== null;
  }

  choose(relayOnly: boolean): void {
    this.#own.value = { relayOnly };
    this.#listeners.notify();
  }

  /** Calls `listener` after each choice; the returned function removes it. */
  onChoice(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }
}
