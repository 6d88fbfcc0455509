/** Waits for Ctrl-C or a service manager's stop, then runs `stop`; a second Ctrl-C ends the process at once. */
export async function runUntilStopped(stop: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  process.once('SIGINT', () => process.exit(130));
  await stop();
}
