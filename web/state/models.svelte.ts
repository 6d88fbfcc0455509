import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { ModelSummary } from '#shared/wire/model-list.ts';
import type { Settings } from './settings.svelte.ts';

/** The models this server has, and which of them the person asks. */
export class Models {
  list: readonly ModelSummary[] = $state.raw([]);
  error: ChorusError | null = $state.raw(null);
  /** True once the server has told them. */
  isLoaded = $state(false);

  readonly #fetchModels: () => Promise<readonly ModelSummary[]>;
  readonly #settings: Settings;

  constructor(fetchModels: () => Promise<readonly ModelSummary[]>, settings: Settings) {
    this.#fetchModels = fetchModels;
    this.#settings = settings;
  }

  /** The chosen model, or the server's first if that one is gone. */
  get chosen(): ModelSummary | null {
    const wanted = this.#settings.ask.value.model;
    return this.list.find((model) => model.digest === wanted) ?? this.list[0] ?? null;
  }

  /** Never rejects; `error` says what went wrong. */
  async load(): Promise<void> {
    try {
      this.list = await this.#fetchModels();
      this.error = null;
      this.isLoaded = true;
    } catch (error) {
      this.error = toChorusError(error, 'server-lost');
    }
  }
}
