import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBase64 } from '#shared/bytes.ts';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { parseStrictJson } from '#shared/crypto/strict-json.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseForm } from '#shared/form-words.ts';
import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { manifestSchema, type BlobRef, type Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import { saltedTokens } from '#shared/receipt/evidence/salted.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate } from '#shared/receipt/receipt.ts';
import { comparePrompt } from '#shared/receipt/verify/compare-prompt.ts';
import { replayReceipt, type ReplayOptions, type ReplayReport } from '#shared/receipt/verify/replay-receipt.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { readingsOf, type Prompt } from '#shared/text/prompt.ts';
import { systemClock } from '../../machine/system-clock.ts';
import { createDiskBlobStore } from '../../node-peer/disk-blob-store.ts';
import { loadModelText } from '../../node-peer/load-model-text.ts';
import { spawnWorkerThread } from '../../node-peer/worker-thread.ts';

export interface ReplayFromFolder extends Pick<ReplayOptions, 'chunks' | 'onProgress'> {
  /** Of a receipt that was verified. */
  readonly receipt: ReceiptFile;
  /** A data folder with the model's manifest and blobs. */
  readonly dataFolder: string;
  readonly salt: Uint8Array<ArrayBuffer>;
  /** Of prompt and answer; where they are left out, those that the texts encode to. */
  readonly tokens: readonly number[] | undefined;
  readonly prompt: string | undefined;
  /** The same in pieces, where they are at hand. */
  readonly pieces: Prompt | undefined;
  readonly answer: string | undefined;
}

export interface FolderReport extends ReplayReport {
  /** Whether the tokens spell the answer at hand, up to where it ends; null without one. */
  readonly isSpelt: boolean | null;
  /** Whether they spell more after it, as where a stop string ended it. */
  readonly goesOn: boolean;
  /** Whether the prompt at hand encodes to the tokens that were fed; null without one. */
  readonly isPrompted: boolean | null;
}

/**
 * Computes a receipt's answer again on the processor, from the model in a data folder. Throws `unknown-model` where the folder does
 * not have it, `bad-message` where no tokens at hand are those of the receipt.
 */
export async function replayFromFolder(options: ReplayFromFolder): Promise<FolderReport> {
  const { receipt, dataFolder, salt, answer, chunks } = options;
  const { predicate } = parseStatement(receipt);
  const manifest = await readManifest(dataFolder, predicate.model.manifest.sha256 as Digest);
  const store = createDiskBlobStore(join(dataFolder, 'blobs'));
  const text = await loadModelText(manifest, (ref) => store.get(ref));
  const tokens = options.tokens ?? encoded(options, predicate, text);
  const worker = createWorkerClient({ spawn: spawnWorkerThread, clock: systemClock });
  try {
    const { runtimeVersion } = await worker.start({ backend: 'wasm', keepSubgroups: false });
    const { version } = predicate.model.runtime;
    if (runtimeVersion !== version) {
      throw new ChorusError('pin-mismatch', `it ran on version ${version} of the runtime, here is ${runtimeVersion}`);
    }
    const openStage = async (range: StageRange) => {
      const blobs = await readBlobs(stageBlobs(manifest, range), (ref) => store.get(ref));
      const { signal } = new AbortController();
      const { numericClass } = await worker.load({ manifest, range, blobs, probe: false, maxSessions: 1 }, signal);
      return { compute: worker.compute, numericClass };
    };
    const onProgress = options.onProgress ?? (() => undefined);
    const report = await replayReceipt({ predicate, manifest, tokens, salt, chunks, openStage, onProgress });
    const { prompt } = predicate.request.tokens;
    const isFormer = predicate.record === undefined;
    const [fed, drawn] = [tokens.slice(0, prompt), tokens.slice(prompt)];
    // A space that begins an answer was left out in receipts of before.
    const spellings = [text.decode(drawn, fed), ...(isFormer ? [text.decode(drawn)] : [])];
    const spelt = answer === undefined ? undefined : spellings.find((whole) => whole.startsWith(answer));
    const isSpelt = answer === undefined ? null : spelt !== undefined;
    const goesOn = spelt !== undefined && spelt !== answer;
    const isPrompted = predicate.request.prompt === null ? null : comparePrompt(text, options, fed);
    const isValid = report.isValid && isSpelt !== false && isPrompted !== false;
    return { ...report, isSpelt, goesOn, isPrompted, isValid };
  } finally {
    worker.stop();
  }
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

async function readBlobs(
  refs: readonly BlobRef[],
  read: (ref: BlobRef) => Promise<Blob | Uint8Array<ArrayBuffer> | null>,
) {
  const blobs = new Map<Digest, Blob | Uint8Array<ArrayBuffer>>();
  for (const ref of refs) {
    const blob = await read(ref);
    if (blob === null) throw new ChorusError('unknown-model', `the folder lacks the blob ${ref.digest}`);
    blobs.set(ref.digest, blob);
  }
  return blobs;
}

/** Tokens that the texts encode to. An answer may be spelt by others as well; the receipt tells whether it was. */
function encoded({ prompt, answer, salt }: ReplayFromFolder, predicate: ReceiptPredicate, text: ModelText): number[] {
  if (prompt !== undefined && answer !== undefined) {
    const answered = text.encodePrompt({ ...text.textPrompt(answer), isRendered: true });
    for (const reading of readingsOf(text, prompt)) {
      const tokens = [...text.encodePrompt(reading), ...answered];
      if (saltedTokens(salt, tokens) === predicate.request.tokens.sha256) return tokens;
    }
  }
  throw new ChorusError(
    'bad-message',
    'the tokens are missing; a replay needs the secrets that the requester keeps, or a prompt and an answer that encode to them',
  );
}
