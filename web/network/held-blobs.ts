import type { Envelope } from '#shared/crypto/envelope.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { fitsModel } from '#shared/model/stage.ts';
import type { HeldStage } from '#shared/peer/volunteer/volunteer.ts';
import { openManifest, type Authority } from '#shared/route/open-signed.ts';

/**
 * The blobs that these stages are made of; none for stages of models that the server no longer has. Rejects as
 * `fetchManifest` and `openManifest` do where it cannot be told.
 */
export async function blobsOfStages(
  stages: readonly HeldStage[],
  fetchManifest: (digest: Digest, signal: AbortSignal) => Promise<Envelope>,
  authority: Authority,
  signal: AbortSignal,
): Promise<Set<Digest>> {
  const digests = new Set<Digest>();
  for (const { model, range } of stages) {
    const envelope = await orUnknown(fetchManifest(model, signal));
    if (envelope === null) continue;
    const manifest = await openManifest(envelope, model, authority);
    if (!fitsModel(range, manifest.config.layers)) continue;
    for (const { digest } of stageBlobs(manifest, range)) digests.add(digest);
  }
  return digests;
}

async function orUnknown<T>(fetching: Promise<T>): Promise<T | null> {
  try {
    return await fetching;
  } catch (error) {
    if (error instanceof ChorusError && error.code === 'unknown-model') return null;
    throw error;
  }
}
