import { ChorusError } from '#shared/errors.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';

/** The tokenizer and chat template of a model; `readBlob` answers whole and checked blobs, null for those not there. */
export async function loadModelText(
  manifest: Manifest,
  readBlob: (ref: BlobRef) => Promise<Blob | Uint8Array<ArrayBuffer> | null>,
): Promise<ModelText> {
  const { tokenizer, config } = manifest.tokenizer;
  const [tokenizerFile, configFile] = await Promise.all([tokenizer, config].map((ref) => readBlob(ref)));
  if (!tokenizerFile || !configFile) throw new ChorusError('internal', `the tokenizer of ${manifest.name} is missing`);
  return openModelText(await toBytes(tokenizerFile), await toBytes(configFile));
}

async function toBytes(blob: Blob | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return blob instanceof Uint8Array ? blob : new Uint8Array(await blob.arrayBuffer());
}
