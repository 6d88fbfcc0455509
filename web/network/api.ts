import { createServerApi } from '#shared/peer/server/server-api.ts';
import { pageClock } from '../browser/page-clock.ts';

/** A person waits for it. */
const SILENCE_MS = 10_000;

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
} = createServerApi({
  fetch: (path, request) => fetch(path, request),
  clock: pageClock(),
  silenceMs: SILENCE_MS,
  words: {
    name: 'the server',
    refused: (status, path, reason) => reason ?? `the server answered ${status} for ${path}`,
    unreachable: () => 'the server cannot be reached',
  },
});
