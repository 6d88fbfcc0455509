import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobFile } from '#shared/blobs/blob-store.ts';
import { fromBase64 } from '#shared/bytes.ts';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { parseStrictJson } from '#shared/crypto/strict-json.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseForm } from '#shared/form-words.ts';
import type { Digest } from '#shared/ids.ts';
import { manifestSchema, type Manifest } from '#shared/model/manifest.ts';
import { repeatAnswer, repeatBlobs, type RepeatAnswer, type RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { systemClock } from '../../machine/system-clock.ts';
import { createDiskBlobStore } from '../../node-peer/disk-blob-store.ts';
import { loadModelText } from '../../node-peer/load-model-text.ts';
import { spawnWorkerThread } from '../../node-peer/worker-thread.ts';

export interface ReplayFromFolder extends Pick<
  RepeatAnswer,
  'chunks' | 'onProgress' | 'salt' | 'tokens' | 'prompt' | 'pieces' | 'answer' | 'signal'
> {
  /** Of a receipt that was verified. */
  readonly receipt: ReceiptFile;
  /** A data folder with the model's manifest and blobs. */
  readonly dataFolder: string;
}

/**
 * Computes a receipt's answer again on the processor, from the model in a data folder. Throws `unknown-model` where the folder does
 * not have it, and as `repeatAnswer` does.
 */
export async function replayFromFolder({ receipt, dataFolder, ...given }: ReplayFromFolder): Promise<RepeatReport> {
  const { predicate } = parseStatement(receipt);
  const manifest = await readManifest(dataFolder, predicate.model.manifest.sha256 as Digest);
  const store = createDiskBlobStore(join(dataFolder, 'blobs'));
  const text = await loadModelText(manifest, (ref) => store.get(ref));
  const blobs = new Map<Digest, BlobFile | Uint8Array<ArrayBuffer>>();
  for (const ref of repeatBlobs(manifest, predicate)) {
    const blob = (await store.locate?.(ref)) ?? null;
    if (blob === null) throw new ChorusError('unknown-model', `the folder lacks the blob ${ref.digest}`);
    blobs.set(ref.digest, blob);
  }
  const worker = createWorkerClient({ spawn: spawnWorkerThread, clock: systemClock });
  return repeatAnswer({ ...given, predicate, manifest, text, blobs, worker });
}

async function readManifest(dataFolder: string, digest: Digest): Promise<Manifest> {
  const bytes = await readManifestBytes(dataFolder, digest);
  return parseForm(manifestSchema, parseStrictJson(bytes), 'the manifest', 'bad-manifest');
}

/** The payload of a model's manifest in a data folder. Throws `unknown-model` or `digest-mismatch`. */
export async function readManifestBytes(dataFolder: string, digest: Digest): Promise<Uint8Array<ArrayBuffer>> {
  const file = await readFile(join(dataFolder, 'models', `${digest}.json`), 'utf8').catch(() => null);
  if (file === null) throw new ChorusError('unknown-model', `the folder ${dataFolder} has no manifest ${digest}`);
  const { payload } = parseForm(envelopeSchema, JSON.parse(file), `the manifest ${digest}`, 'bad-manifest');
  const bytes = fromBase64(payload);
  if (digestOf(bytes) !== digest) throw new ChorusError('digest-mismatch', `the manifest ${digest} was changed`);
  return bytes;
}
