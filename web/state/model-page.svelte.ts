import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { OpenedModel } from '../receipts/open-model.ts';

export type OpenModel = (digest: Digest, signal: AbortSignal) => Promise<OpenedModel>;

/** One model, as the manifest says it that its address names. */
export class ModelPage {
  status: 'loading' | 'missing' | 'failed' | 'shown' = $state('loading');
  model: OpenedModel | null = $state.raw(null);
  error: ChorusError | null = $state.raw(null);

  readonly #openModel: OpenModel;
  #opening = new AbortController();

  constructor(openModel: OpenModel) {
    this.#openModel = openModel;
  }

  /** Never rejects: what goes wrong is in `status` and `error`. */
  async open(digest: Digest): Promise<void> {
    this.#opening.abort();
    const opening = new AbortController();
    this.#opening = opening;
    this.status = 'loading';
    this.model = null;
    this.error = null;
    try {
      const model = await this.#openModel(digest, opening.signal);
      if (opening.signal.aborted) return;
      this.model = model;
      this.status = 'shown';
    } catch (thrown) {
      if (opening.signal.aborted) return;
      this.error = toChorusError(thrown, 'server-lost');
      this.status = this.error.details['status'] === 404 ? 'missing' : 'failed';
    }
  }
}
