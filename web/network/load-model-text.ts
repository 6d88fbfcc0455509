import { readBlobs } from '#shared/blobs/read-blobs.ts';
import { withBlobs } from '#shared/blobs/with-blobs.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { openBlobStore, type BlobStoreOptions } from '../browser/blob-store.ts';
import { fetchRange } from './api.ts';

/** A model's tokenizer and chat template. Rejects with why they could not be had, or what is wrong with them. */
export async function loadModelText(
  manifest: Pick<Manifest, 'tokenizer'>,
  storage: BlobStoreOptions,
  signal: AbortSignal,
): Promise<ModelText> {
  const { clock } = storage;
  const { tokenizer, config } = manifest.tokenizer;
  const refs = [tokenizer, config];
  const store = openBlobStore(storage);
  try {
    const files = await withBlobs(refs, { store, fetchRange, clock, signal }, (blobs) => readBlobs(refs, blobs, clock));
    const read = ({ digest }: BlobRef) => files.get(digest) as Uint8Array<ArrayBuffer>;
    return openModelText(read(tokenizer), read(config));
  } finally {
    store.close();
  }
}
