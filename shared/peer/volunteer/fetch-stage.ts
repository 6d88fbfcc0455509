import type { BlobStore } from '../../blobs/blob-store.ts';
import type { FetchBlobsDeps } from '../../blobs/fetch-blobs.ts';
import type { LocatedBlobs } from '../../blobs/read-blobs.ts';
import { withBlobs, type WithBlobsDeps } from '../../blobs/with-blobs.ts';
import type { Clock } from '../../clock.ts';
import type { Envelope } from '../../crypto/envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { stageBlobs } from '../../model/cut.ts';
import type { BlobRef, Manifest } from '../../model/manifest.ts';
import { fitsModel, type StageRange } from '../../model/stage.ts';
import { openManifest, type Authority } from '../../route/open-signed.ts';

export interface StageSource {
  readonly blobs: BlobStore;
  /** Bytes [start, end) of a blob from wherever they can be had; they are checked here. */
  readonly fetchRange: FetchBlobsDeps['fetchRange'];
  /** The signed manifest, as `/api/models/DIGEST` answers; it is checked here. */
  readonly fetchManifest: (digest: Digest, signal: AbortSignal) => Promise<Envelope>;
  readonly clock: Clock;
}

/**
 * The manifest of a model that this program can run a stage of. Throws as `openManifest` does, `bad-message` if the model
 * has no such stage, `pin-mismatch` if it asks for another runtime.
 */
export async function fetchRunnableManifest(
  model: Digest,
  range: StageRange,
  runtimeVersion: string,
  source: StageSource,
  authority: Authority,
  signal: AbortSignal,
): Promise<Manifest> {
  const manifest = await openManifest(await source.fetchManifest(model, signal), model, authority);
  signal.throwIfAborted();
  if (!fitsModel(range, manifest.config.layers)) throw new ChorusError('bad-message', 'the model has no such stage');
  const wanted = manifest.pins.runtimeVersion;
  if (wanted !== runtimeVersion) {
    const message = `the model asks for onnxruntime-web ${wanted}, this program has ${runtimeVersion}; reload or update`;
    throw new ChorusError('pin-mismatch', message);
  }
  return manifest;
}

/** `load` with everything that a stage is made of, as `withBlobs`. */
export function withStageBlobs<Result>(
  manifest: Manifest,
  range: StageRange,
  { blobs: store, fetchRange, clock }: StageSource,
  watch: Pick<WithBlobsDeps, 'onProgress' | 'onDamaged' | 'signal'>,
  load: (blobs: LocatedBlobs) => Promise<Result>,
): Promise<Result> {
  const locate = (ref: BlobRef) => store.locate?.(ref) ?? store.get(ref);
  return withBlobs(stageBlobs(manifest, range), { store, fetchRange, clock, ...watch }, load, locate);
}
