import { fetchBlobs } from '#shared/blobs/fetch-blobs.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { openBlobStore, type IdbBlobStore } from '../browser/blob-store.ts';
import { fetchRange } from './api.ts';

/** A model's tokenizer and chat template. Rejects with why they could not be had, or what is wrong with them. */
export async function loadModelText(
  manifest: Pick<Manifest, 'tokenizer'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<ModelText> {
  const store = await openBlobStore();
  try {
    const { tokenizer, config } = manifest.tokenizer;
    await fetchBlobs([tokenizer, config], { store, fetchRange, clock, signal });
    return openModelText(await read(store, tokenizer), await read(store, config));
  } finally {
    store.close();
  }
}

async function read(store: IdbBlobStore, ref: BlobRef): Promise<Uint8Array<ArrayBuffer>> {
  const blob = await store.get(ref);
  if (blob === null) throw new ChorusError('internal', 'a file that was just stored is gone');
  return new Uint8Array(await blob.arrayBuffer());
}
