import type { Clock } from '#shared/clock.ts';

export interface PageUpdateDeps {
  /** The program that this page was started with; null where that cannot be told. */
  readonly program: string | null;
  /** The program that the server starts pages with now; null or a rejection where that cannot be told. */
  readonly fetchProgram: () => Promise<string | null>;
  /** Loads the page anew, with what was typed. */
  readonly reload: () => void;
  readonly clock: Clock;
}

/** How often the server is asked, however much fails. */
const CHECK_EVERY_MS = 10_000;

/**
 * Whether the server has another version of the page by now. Code that this one has not loaded yet is gone then, so it is
 * looked for when something fails, and told once.
 */
export class PageUpdate {
  /** True while the person is to be told. */
  isOffered = $state(false);

  readonly #deps: PageUpdateDeps;
  #isFound = false;
  #checkedAtMs = -Infinity;

  constructor(deps: PageUpdateDeps) {
    this.#deps = deps;
  }

  /** Called when something failed that may come of an update. Never rejects. */
  async check(): Promise<void> {
    const { program, fetchProgram, clock } = this.#deps;
    if (program === null || this.#isFound || clock.nowMs() - this.#checkedAtMs < CHECK_EVERY_MS) return;
    this.#checkedAtMs = clock.nowMs();
    const now = await fetchProgram().catch(() => null);
    if (now === null || now === program || this.#isFound) return;
    this.#isFound = true;
    this.isOffered = true;
  }

  accept(): void {
    this.#deps.reload();
  }

  dismiss(): void {
    this.isOffered = false;
  }
}
