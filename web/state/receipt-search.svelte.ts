import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { ListedReceipt, ReceiptFilter, ReceiptList, ReceiptQuery } from '#shared/wire/receipt-list.ts';

const PAGE = 50;

export type FetchReceipts = (query: ReceiptQuery, signal: AbortSignal) => Promise<ReceiptList>;

/** The receipts of the log that are looked for: the newest of them, and further back as far as somebody looked. */
export class ReceiptSearch {
  /** Of the filter before this one until the server has answered. */
  loaded: readonly ListedReceipt[] = $state.raw([]);
  status: 'idle' | 'loading' | 'ready' | 'failed' = $state('idle');
  error: ChorusError | null = $state.raw(null);
  /** False once the oldest is here. */
  hasOlder = $state(false);
  /** Entries of the log. */
  size = $state(0);

  readonly #fetchReceipts: FetchReceipts;
  #filter: ReceiptFilter = { model: null, tier: null, from: null, to: null };
  #asking = new AbortController();

  constructor(fetchReceipts: FetchReceipts) {
    this.#fetchReceipts = fetchReceipts;
  }

  /** Looks for the newest of these. Never rejects; `error` says what went wrong. */
  async show(filter: ReceiptFilter): Promise<void> {
    const isOther = JSON.stringify(filter) !== JSON.stringify(this.#filter);
    this.#filter = filter;
    await this.#ask(null, isOther);
  }

  /** Looks again at the newest. */
  async retry(): Promise<void> {
    await this.#ask(null, false);
  }

  /** Goes further back. */
  async older(): Promise<void> {
    if (this.status !== 'loading') await this.#ask(this.loaded.at(-1)?.index ?? null, false);
  }

  async #ask(before: number | null, isOther: boolean): Promise<void> {
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.status = 'loading';
    try {
      // One more tells whether there are more.
      const query = { ...this.#filter, before, limit: PAGE + 1 };
      const { size, receipts } = await this.#fetchReceipts(query, asking.signal);
      if (asking.signal.aborted) return;
      const page = receipts.slice(0, PAGE);
      this.#take(before === null ? page : [...this.loaded, ...page], receipts.length > PAGE);
      this.size = size;
      this.status = 'ready';
      this.error = null;
    } catch (thrown) {
      if (asking.signal.aborted) return;
      // The receipts that are here are not those that were asked for.
      if (isOther) this.#take([], false);
      this.status = 'failed';
      this.error = toChorusError(thrown, 'server-lost');
    }
  }

  #take(receipts: readonly ListedReceipt[], hasOlder: boolean): void {
    this.loaded = receipts;
    this.hasOlder = hasOlder;
  }
}
