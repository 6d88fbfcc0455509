import { ChorusError } from '#shared/errors.ts';
import { repeatFromServers } from '#shared/peer/replay/repeat-from-servers.ts';
import type { ModelServer } from '#shared/peer/replay/replay-sources.ts';
import { parseReceiptFile } from '#shared/receipt/read-receipt.ts';
import { openBlobStore, type BlobStoreOptions } from '../browser/blob-store.ts';
import type { RepeatHere } from '../state/repeat/repeat.svelte.ts';
import { apiOf, fetchManifest, fetchRange } from './api.ts';
import { createTabWorker } from './worker-client.ts';

/** Repeats answers in this tab, in a compute thread of its own. Weights come from this server, then from the one that the reader names. */
export function createRepeatHere(storage: BlobStoreOptions, onGone: () => void): RepeatHere {
  return async ({ receipt, atHand, manifest, otherServer, onProgress, signal }) => {
    const { salt, tokens, prompt, pieces, answer } = atHand;
    const store = openBlobStore(storage);
    try {
      return await repeatFromServers({
        ...{ receipt: parseReceiptFile(receipt), salt, tokens, prompt, pieces, answer, onProgress, signal },
        ...(manifest && { manifest }),
        servers: [{ fetchManifest, fetchRange }, ...otherServers(otherServer)],
        store,
        clock: storage.clock,
        worker: createTabWorker(storage.clock, onGone),
      });
    } finally {
      store.close();
    }
  };
}

function otherServers(address: string): ModelServer[] {
  const trimmed = address.trim();
  if (trimmed === '') return [];
  const url = URL.canParse(trimmed) ? new URL(trimmed) : null;
  if (url?.protocol === 'https:') return [apiOf(url.origin)];
  throw new ChorusError('bad-message', 'this is not the address of a server; it begins with https://');
}
