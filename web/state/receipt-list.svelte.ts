import type { Tier } from '#shared/check/finding.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ListedReceipt, ReceiptList } from '#shared/wire/receipt-list.ts';

const PAGE = 50;

export type FetchReceipts = (
  query: { readonly before: number | null; readonly limit: number },
  signal: AbortSignal,
) => Promise<ReceiptList>;

/** The newest receipts of the log, and further back as far as somebody looked. */
export class Receipts {
  loaded: readonly ListedReceipt[] = $state.raw([]);
  status: 'idle' | 'loading' | 'ready' | 'failed' = $state('idle');
  error: ChorusError | null = $state.raw(null);
  /** False once the oldest is here. */
  hasOlder = $state(false);
  /** Null: all. */
  model: Digest | null = $state(null);
  tier: Tier | null = $state(null);

  readonly #fetchReceipts: FetchReceipts;
  #asking = new AbortController();

  constructor(fetchReceipts: FetchReceipts) {
    this.#fetchReceipts = fetchReceipts;
  }

  /** Those that were asked for, of the ones that are here. */
  get shown(): readonly ListedReceipt[] {
    return this.loaded.filter(
      ({ model, tier }) => (this.model === null || model === this.model) && (this.tier === null || tier === this.tier),
    );
  }

  /** The models of those that are here, each once. */
  get models(): readonly Pick<ListedReceipt, 'model' | 'modelName'>[] {
    const first = ({ model }: ListedReceipt, at: number) =>
      this.loaded.findIndex((other) => other.model === model) === at;
    return this.loaded.filter(first);
  }

  /** Looks anew at the newest. Never rejects; `error` says what went wrong. */
  async load(): Promise<void> {
    await this.#ask(null);
  }

  /** Goes further back. */
  async older(): Promise<void> {
    if (this.status !== 'loading') await this.#ask(this.loaded.at(-1)?.index ?? null);
  }

  async #ask(before: number | null): Promise<void> {
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.status = 'loading';
    try {
      const { receipts } = await this.#fetchReceipts({ before, limit: PAGE }, asking.signal);
      if (asking.signal.aborted) return;
      this.loaded = before === null ? receipts : [...this.loaded, ...receipts];
      this.hasOlder = receipts.length === PAGE && receipts.at(-1)!.index > 0;
      this.status = 'ready';
      this.error = null;
    } catch (thrown) {
      if (asking.signal.aborted) return;
      this.status = 'failed';
      this.error = toChorusError(thrown, 'server-lost');
    }
  }
}
