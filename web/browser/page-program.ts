import { ChorusError } from '#shared/errors.ts';

/** The address of the program that a page starts, which changes with any of its code; null for a page that is not ours. */
export function programOf(page: Document): string | null {
  return page.querySelector<HTMLScriptElement>('script[type="module"][src]')?.src ?? null;
}

const PATIENCE_MS = 5_000;

/** The program that the server starts pages with now. Rejects where that cannot be told within 5 s. */
export async function fetchProgram(): Promise<string | null> {
  const response = await fetch(location.pathname, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) return null;
  return programOf(new DOMParser().parseFromString(await response.text(), 'text/html'));
}

/** Code of this page that is loaded when it is first needed. Rejects with `internal`, and `isProgramGone`, where it cannot be had. */
export async function loadedPart<Part>(loading: Promise<Part>): Promise<Part> {
  try {
    return await loading;
  } catch (thrown) {
    throw new ChorusError(
      'internal',
      'a part of this page could not be loaded',
      { isProgramGone: true },
      String(thrown),
    );
  }
}
