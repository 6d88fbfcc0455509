import { createServerApi, type ServerApi } from '#shared/peer/server/server-api.ts';
import { pageClock } from '../browser/page-clock.ts';

/** A person waits for it. */
const SILENCE_MS = 10_000;

/** The questions of this page to a server; that it came from has an empty origin. */
export function apiOf(origin: string): ServerApi {
  const name = origin === '' ? 'the server' : origin;
  return createServerApi({
    fetch: (path, request) => fetch(`${origin}${path}`, request),
    clock: pageClock(),
    silenceMs: SILENCE_MS,
    words: {
      name,
      refused: (status, path, reason) => reason ?? `${name} answered ${status} for ${path}`,
      unreachable: () => `${name} cannot be reached`,
    },
  });
}

/** The questions of this page to the server it came from. */
export const {
  fetchModels,
  fetchNetwork,
  fetchManifest,
  fetchRange,
  postReceipt,
  fetchReceipt,
  fetchReceipts,
  fetchLog,
  fetchLogFile,
  whyNoSocket,
} = apiOf('');
