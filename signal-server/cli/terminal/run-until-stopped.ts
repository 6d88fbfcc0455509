/**
 * Aborted by Ctrl-C, by a service manager's stop and by the end of the terminal, from the moment it is asked for; a
 * second Ctrl-C ends the process at once.
 */
export function stopSignal(): AbortSignal {
  const aborter = new AbortController();
  const stop = (): void => aborter.abort();
  process.once('SIGINT', () => {
    stop();
    process.once('SIGINT', () => process.exit(130));
  });
  process.on('SIGTERM', stop).on('SIGHUP', stop);
  return aborter.signal;
}

/** Waits until `signal` is aborted, then runs `stop`. */
export async function runUntilStopped(stop: () => Promise<void>, signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await stop();
}
