import type { Clock } from '#shared/clock.ts';
import { createServerApi, type ServerApi } from '#shared/peer/server/server-api.ts';
import { describeCause } from '../machine/http-answer.ts';
import { systemClock } from '../machine/system-clock.ts';

export type { ServerApi };

/** Nobody looks on, and the server may be a slow machine. */
const SILENCE_MS = 30_000;

/** The requests of a program to the signal server at this address, which its errors name. */
export function serverApiAt(serverUrl: URL, clock: Clock = systemClock): ServerApi {
  const { origin } = serverUrl;
  return createServerApi({
    fetch: (path, request) => fetch(new URL(path, serverUrl), request),
    clock,
    silenceMs: SILENCE_MS,
    words: {
      name: origin,
      refused: (status, path, reason) =>
        `${origin} answered ${status} to ${path}${reason === null ? '' : `: ${reason}`}`,
      unreachable: (thrown) => `no answer from ${origin}: ${describeCause(thrown)}`,
    },
  });
}
