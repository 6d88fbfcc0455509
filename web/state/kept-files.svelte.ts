import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { IdbBlobStore } from '../browser/blob-store.ts';

/** The outcome of clearing, in bytes. */
export interface Cleared {
  readonly removedBytes: number;
  readonly leftBytes: number;
}

export type OpenKept = () => Promise<Pick<IdbBlobStore, 'list' | 'removeUnused' | 'close'>>;

/** The parts of models that this browser keeps for the page, so that they need not be downloaded again. */
export class KeptFiles {
  /** Null before it is known, and where the browser keeps nothing. */
  bytes: number | null = $state(null);
  isClearing = $state(false);
  /** How clearing ended; null before. */
  outcome: Cleared | ChorusError | null = $state.raw(null);

  readonly #open: OpenKept;

  constructor(open: OpenKept) {
    this.#open = open;
  }

  /** Counts anew. Never rejects: where nothing can be counted, `bytes` is null. */
  async look(): Promise<void> {
    try {
      this.bytes = await this.#with(countBytes);
    } catch {
      this.bytes = null;
    }
  }

  /** Removes what no tab of this browser uses now. Never rejects; `outcome` says what came of it. */
  async clear(): Promise<void> {
    if (this.isClearing) return;
    this.isClearing = true;
    this.outcome = null;
    try {
      const removedBytes = await this.#with((store) => store.removeUnused());
      await this.look();
      this.outcome = { removedBytes, leftBytes: this.bytes ?? 0 };
    } catch (error) {
      this.outcome = toChorusError(error);
    } finally {
      this.isClearing = false;
    }
  }

  async #with<Result>(work: (store: Awaited<ReturnType<OpenKept>>) => Promise<Result>): Promise<Result> {
    const store = await this.#open();
    try {
      return await work(store);
    } finally {
      store.close();
    }
  }
}

async function countBytes(store: Awaited<ReturnType<OpenKept>>): Promise<number> {
  return (await store.list()).reduce((sum, { storedBytes }) => sum + storedBytes, 0);
}
