import { ChorusError } from '#shared/errors.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';

/** Answers whole and checked blobs, null for those not there. */
type ReadBlob = (ref: BlobRef) => Promise<Blob | Uint8Array<ArrayBuffer> | null>;

/** The tokenizer and chat template of a model. */
export async function loadModelText(manifest: Manifest, readBlob: ReadBlob): Promise<ModelText> {
  const { tokenizer, config } = await readTokenizerFiles(manifest, readBlob);
  return openModelText(tokenizer, config);
}

/** The files that `loadModelText` reads them from. */
export async function readTokenizerFiles(
  manifest: Manifest,
  readBlob: ReadBlob,
): Promise<{ readonly tokenizer: Uint8Array<ArrayBuffer>; readonly config: Uint8Array<ArrayBuffer> }> {
  const [tokenizer, config] = await Promise.all(
    [manifest.tokenizer.tokenizer, manifest.tokenizer.config].map((ref) => readBlob(ref)),
  );
  if (!tokenizer || !config) throw new ChorusError('internal', `the tokenizer of ${manifest.name} is missing`);
  return { tokenizer: await toBytes(tokenizer), config: await toBytes(config) };
}

async function toBytes(blob: Blob | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return blob instanceof Uint8Array ? blob : new Uint8Array(await blob.arrayBuffer());
}
