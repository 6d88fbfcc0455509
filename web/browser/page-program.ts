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
