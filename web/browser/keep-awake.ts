/**
 * Asks the screen to stay on, again each time the page comes back into view, since hiding it ends the wish. The
 * returned function lets it sleep. Rejects where the browser cannot.
 */
export async function keepAwake(): Promise<() => void> {
  let lock = await navigator.wakeLock.request('screen');
  const renew = async (): Promise<void> => {
    if (document.visibilityState === 'visible' && lock.released) lock = await navigator.wakeLock.request('screen');
  };
  const onChange = (): void => void renew().catch(() => undefined);
  document.addEventListener('visibilitychange', onChange);
  return () => {
    document.removeEventListener('visibilitychange', onChange);
    void lock.release();
  };
}
