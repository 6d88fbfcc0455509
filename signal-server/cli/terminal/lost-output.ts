/** Goes on where whatever read the output of this process is gone: for programs that others need, not for filters. */
export function surviveLostOutput(...more: readonly NodeJS.EventEmitter[]): void {
  for (const stream of [process.stdout, process.stderr, ...more]) stream.on('error', ignore);
}

function ignore(): void {
  // Nobody is there to be told.
}
