const PATIENCE_MS = 2_000;

/**
 * Runs `work` while no other tab of this browser runs some under the same name. Where the browser has no locks, refuses
 * them, or another tab holds this one for 2 s, it runs all the same.
 */
export async function oneTabAtATime<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  let begun: Promise<Result> | null = null;
  const begin = (): Promise<Result> => (begun ??= work());
  try {
    return await navigator.locks.request(name, { signal: AbortSignal.timeout(PATIENCE_MS) }, begin);
  } catch {
    return begin();
  }
}
