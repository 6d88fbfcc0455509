import { backoffMs } from '#shared/backoff.ts';
import type { Clock } from '#shared/clock.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

const WATCHED_MS = 2_500;
const BACKGROUND_MS = 10_000;
const HIDDEN_MS = 60_000;
const RETRY = { firstMs: WATCHED_MS, maxMs: 30_000 };

export interface NetworkDeps {
  readonly fetchNetwork: (signal: AbortSignal) => Promise<NetworkSnapshot>;
  readonly clock: Clock;
  readonly isHidden: () => boolean;
  /** Hears each answer. */
  readonly onSnapshot?: (snapshot: NetworkSnapshot) => void;
}

/** The network as the server last told it. Asked often while its view is open, seldom otherwise, hardly when hidden. */
export class Network {
  snapshot: NetworkSnapshot | null = $state.raw(null);
  /** `lost` after the first failed question. */
  status: 'loading' | 'live' | 'lost' = $state('loading');
  /** Why it is lost. */
  error: ChorusError | null = $state.raw(null);
  /** Wall-clock time of the last answer. */
  updatedAtMs: number | null = $state(null);

  readonly #deps: NetworkDeps;
  #watchers = 0;
  #failures = 0;
  #cancelTimer = (): void => {};
  #asking = new AbortController();

  constructor(deps: NetworkDeps) {
    this.#deps = deps;
  }

  /** Keeps the picture fresh while a view shows it; call the returned function when it no longer does. */
  watch(): () => void {
    this.#watchers++;
    void this.refresh();
    return () => {
      this.#watchers--;
    };
  }

  /** Asks now, and plans the next question. Called again, it takes the place of the question under way. */
  async refresh(): Promise<void> {
    this.#cancelTimer();
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const snapshot = await this.#deps.fetchNetwork(asking.signal);
      if (asking.signal.aborted) return;
      this.#deps.onSnapshot?.(snapshot);
      this.snapshot = snapshot;
      this.status = 'live';
      this.error = null;
      this.updatedAtMs = this.#deps.clock.wallMs();
      this.#failures = 0;
    } catch (thrown) {
      if (asking.signal.aborted) return;
      this.status = 'lost';
      this.error = toChorusError(thrown, 'server-lost');
      this.#failures++;
    }
    this.#cancelTimer = this.#deps.clock.setTimer(() => void this.refresh(), this.#delayMs());
  }

  stop(): void {
    this.#cancelTimer();
    this.#asking.abort();
  }

  #delayMs(): number {
    if (this.#deps.isHidden()) return HIDDEN_MS;
    const calmMs = this.#watchers > 0 ? WATCHED_MS : BACKGROUND_MS;
    return this.#failures === 0 ? calmMs : backoffMs(this.#failures, RETRY);
  }
}
