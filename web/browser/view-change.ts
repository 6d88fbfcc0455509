/** Which entry of the tab's history this is, among those that this page has shown. */
const ENTRY = 'chorusEntry';

export interface ScrollMemory {
  /** Where the entry that is shown now was left; 0 for one that is new. */
  readonly leftAtPx: number;
  stop(): void;
}

/**
 * Remembers how far each entry of the history was scrolled. The browser does so too, but goes there before the view is,
 * and leaves a new entry where the one before it was.
 */
export function rememberScroll(): ScrollMemory {
  const placesPx = new Map<number, number>();
  let entry = enter();
  let leftAtPx = 0;

  /** The entry that the history stands at, marked if it is new to this page. */
  function enter(): number {
    const state = history.state as Record<string, unknown> | null;
    const known = state?.[ENTRY];
    if (typeof known === 'number' && placesPx.has(known)) return known;
    const fresh = placesPx.size;
    placesPx.set(fresh, 0);
    history.replaceState({ ...state, [ENTRY]: fresh }, '');
    return fresh;
  }
  const onScroll = (): void => void placesPx.set(entry, window.scrollY);
  const onMove = (): void => {
    entry = enter();
    leftAtPx = placesPx.get(entry) ?? 0;
  };
  window.addEventListener('scroll', onScroll, { passive: true });
  window.addEventListener('popstate', onMove);
  return {
    get leftAtPx() {
      return leftAtPx;
    },
    stop() {
      window.removeEventListener('scroll', onScroll);
      window.removeEventListener('popstate', onMove);
    },
  };
}

/**
 * Moves the focus to the field that a view is there for, marked `data-first-focus`; false where there is none. Nor where
 * fingers point: a keyboard on the screen comes only when it is asked for.
 */
export function focusFirstField(main: HTMLElement): boolean {
  if (!matchMedia('(pointer: fine)').matches) return false;
  const field = main.querySelector<HTMLElement>('[data-first-focus]');
  field?.focus({ preventScroll: true });
  return field !== null;
}

/**
 * Moves the focus to the heading of the view in `main`: a screen reader then says the view's name, and Tab goes on from
 * there. The scroll stays.
 */
export function focusHeading(main: HTMLElement): void {
  const heading = main.querySelector<HTMLElement>('h1');
  if (heading === null) return main.focus({ preventScroll: true });
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
