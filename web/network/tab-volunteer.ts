import { randomBytes as random, verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import type { WorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import { openBlobStore, type BlobStoreOptions } from '../browser/blob-store.ts';
import { lendingOf, type VolunteerSettings } from '../state/settings.svelte.ts';
import type { PastWork, VolunteerHandle } from '../state/volunteer-panel.svelte.ts';
import { fetchManifest, fetchRange } from './api.ts';
import { blobsOfStages } from './held-blobs.ts';
import type { Joined } from './join.ts';

/**
 * A volunteer in this tab, not started yet, good for one sitting: its store closes at its end. Where the browser's room
 * is used up, what is no part of a stage in `held` or in use makes way. Throws if `signal` has aborted by then.
 */
export function createTabVolunteer(
  { identity, control, links }: Joined,
  worker: WorkerClient,
  chosen: VolunteerSettings,
  { held, deviceFault }: PastWork,
  storage: Omit<BlobStoreOptions, 'neededLater'>,
  signal: AbortSignal,
): VolunteerHandle {
  signal.throwIfAborted();
  const sitting = new AbortController();
  const authority = { serverKey: control.serverKey, verify };
  const neededLater = () => blobsOfStages(held, fetchManifest, authority, sitting.signal);
  const blobs = openBlobStore({ ...storage, neededLater });
  const volunteer = new Volunteer({
    identity,
    control,
    links,
    worker,
    blobs,
    fetchRange,
    fetchManifest,
    clock: storage.clock,
    verify,
    random,
    settings: {
      ...lendingOf(chosen),
      keepSubgroups: false,
      get webrtc() {
        return links.isDirect;
      },
      held,
      deviceFault,
      isHidden: () => document.hidden,
    },
  });
  const stopFollowing = links.onDirect(() => volunteer.offerAgain());
  volunteer.onChange(() => {
    if (volunteer.state.phase !== 'off' && volunteer.state.phase !== 'failed') return;
    stopFollowing();
    sitting.abort();
    blobs.close();
  });
  return volunteer;
}
