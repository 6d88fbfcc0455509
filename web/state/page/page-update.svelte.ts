import type { Clock } from '#shared/clock.ts';

export interface PageUpdateDeps {
  /** The program that this page was started with; null where that cannot be told. */
  readonly program: string | null;
  /** The program that the server starts pages with now; null where it is none, a rejection where the server cannot be reached. */
  readonly fetchProgram: () => Promise<string | null>;
  /** Loads the page anew, with what was typed. */
  readonly reload: () => void;
  /** True while the page does something that a reload would end. */
  readonly isBusy: () => boolean;
  /** True while nobody can see the page. */
  readonly isHidden: () => boolean;
  readonly clock: Clock;
  /** The program of this tab's page before it was reloaded for want of code; null where it was not. */
  readonly reloadedFrom?: string | null;
}

/** How often the server is asked about failures that may be of any kind. */
const CHECK_EVERY_MS = 10_000;
/** How long nobody has touched an outdated page before it is loaded anew by itself: one that is out of sight, and one that may be read. */
const IDLE_HIDDEN_MS = 60_000;
const IDLE_SHOWN_MS = 10 * 60_000;

/**
 * Whether the page should be loaded anew: the server has another version of it by now, or code that this one had not loaded
 * yet is gone. It is looked for when something fails, and told once. An outdated page that does nothing, and that nobody
 * touches, is loaded anew by itself, once.
 */
export class PageUpdate {
  /** Why a reload is offered now; null while none is. */
  offer: 'updated' | 'incomplete' | null = $state(null);

  readonly #deps: PageUpdateDeps;
  #isTold = false;
  #checkedAtMs = -Infinity;
  #touchedAtMs: number;

  constructor(deps: PageUpdateDeps) {
    this.#deps = deps;
    this.#touchedAtMs = deps.clock.nowMs();
  }

  /** Somebody is at the page. */
  touch(): void {
    this.#touchedAtMs = this.#deps.clock.nowMs();
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
    // A reload that brought the page of before would bring it again.
    if (why === 'updated' && this.#deps.program !== this.#deps.reloadedFrom) this.#reloadWhenIdle();
  }

  #reloadWhenIdle(): void {
    const { clock, isBusy, isHidden, reload } = this.#deps;
    clock.setTimer(() => {
      const idleMs = clock.nowMs() - this.#touchedAtMs;
      const isIdle = !isBusy() && idleMs >= (isHidden() ? IDLE_HIDDEN_MS : IDLE_SHOWN_MS);
      if (isIdle) reload();
      else this.#reloadWhenIdle();
    }, CHECK_EVERY_MS);
  }
}
