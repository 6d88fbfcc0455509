import type { Clock } from '#shared/clock.ts';

export interface PageUpdateDeps {
  /** The program that this page was started with; null where that cannot be told. */
  readonly program: string | null;
  /** The program that the server starts pages with now; null where it is none, a rejection where the server cannot be reached. */
  readonly fetchProgram: () => Promise<string | null>;
  /** Loads the page anew, with what was typed. */
  readonly reload: () => void;
  readonly clock: Clock;
  /** The program of this tab's page before it was reloaded for want of code; null where it was not. */
  readonly reloadedFrom?: string | null;
}

/** How often the server is asked about failures that may be of any kind. */
const CHECK_EVERY_MS = 10_000;

/**
 * Whether the page should be loaded anew: the server has another version of it by now, or code that this one had not loaded
 * yet is gone. It is looked for when something fails, and told once; the page never reloads by itself.
 */
export class PageUpdate {
  /** Why a reload is offered now; null while none is. */
  offer: 'updated' | 'incomplete' | null = $state(null);

  readonly #deps: PageUpdateDeps;
  #isTold = false;
  #checkedAtMs = -Infinity;

  constructor(deps: PageUpdateDeps) {
    this.#deps = deps;
  }

  /** Called when something failed, for want of code if `isProgramGone`. Never rejects. */
  async check(isProgramGone = false): Promise<void> {
    const { program, fetchProgram, clock, reloadedFrom } = this.#deps;
    const isDue = isProgramGone || clock.nowMs() - this.#checkedAtMs >= CHECK_EVERY_MS;
    if (this.#isTold || !isDue) return;
    this.#checkedAtMs = clock.nowMs();
    let now: string | null;
    try {
      now = await fetchProgram();
    } catch {
      // Nothing is gone that cannot be looked for.
      return;
    }
    if (now !== null && program !== null && now !== program) this.#tell('updated');
    // Where a reload brought the same page, another would too.
    else if (isProgramGone && (program === null || program !== reloadedFrom)) this.#tell('incomplete');
  }

  accept(): void {
    this.#deps.reload();
  }

  dismiss(): void {
    this.offer = null;
  }

  #tell(why: 'updated' | 'incomplete'): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.offer = why;
  }
}
