import type { BlobStore } from '../../blobs/blob-store.ts';
import { damagedBlobs, readBlobs } from '../../blobs/read-blobs.ts';
import { withBlobs } from '../../blobs/with-blobs.ts';
import type { Clock } from '../../clock.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { stageBlobs } from '../../model/cut.ts';
import type { Manifest } from '../../model/manifest.ts';
import { parseStatement } from '../../receipt/read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate } from '../../receipt/receipt.ts';
import type { ReplayProgress } from '../../receipt/replay/replay-receipt.ts';
import { openModelText } from '../../text/model-text.ts';
import { repeatAnswer, repeatBlobs, type RepeatAnswer, type RepeatReport } from './repeat-answer.ts';
import { fetchFromAny, fetchReplayManifest, readManifest, type ModelServer } from './replay-sources.ts';

export type RepeatProgress =
  | { readonly phase: 'weights'; readonly done: number; readonly total: number }
  | ({ readonly phase: 'positions' } & ReplayProgress);

export interface RepeatFromServers extends Pick<
  RepeatAnswer,
  'salt' | 'tokens' | 'prompt' | 'pieces' | 'answer' | 'worker' | 'signal'
> {
  /** One that was verified. */
  readonly receipt: ReceiptFile;
  /** Bytes of the manifest, where they are at hand. */
  readonly manifest?: Uint8Array<ArrayBuffer>;
  /** Asked in this order. */
  readonly servers: readonly ModelServer[];
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly onProgress: (progress: RepeatProgress) => void;
}

/**
 * Repeats an answer with weights from any server that has those of the receipt's digests, and keeps them in the store. Each piece is held
 * to its digest before it is used. Throws as `repeatAnswer` and `fetchBlobs` do; where weights are not what the receipt says, or nobody
 * has them, the message says of which part and stage.
 */
export async function repeatFromServers(given: RepeatFromServers): Promise<RepeatReport> {
  const { receipt, servers, store, clock, signal, worker, onProgress } = given;
  const { predicate } = parseStatement(receipt);
  const digest = predicate.model.manifest.sha256 as Digest;
  // The thread comes up while weights are on their way; that it cannot is told by its start.
  worker.prepare('wasm').catch(() => undefined);
  let manifest: Manifest | null = null;
  try {
    manifest = given.manifest
      ? readManifest(given.manifest, digest)
      : await fetchReplayManifest(digest, servers, signal);
    const model = manifest;
    const { tokenizer, config } = model.tokenizer;
    const deps = {
      ...{ store, clock, signal, fetchRange: fetchFromAny(servers) },
      onProgress: ({ doneBytes, totalBytes }: { readonly doneBytes: number; readonly totalBytes: number }) =>
        onProgress({ phase: 'weights', done: doneBytes, total: totalBytes }),
    };
    return await withBlobs(repeatBlobs(model, predicate), deps, async (blobs) => {
      const files = await readBlobs([tokenizer, config], blobs, clock);
      const text = openModelText(files.get(tokenizer.digest)!, files.get(config.digest)!);
      const onPositions = (progress: ReplayProgress): void => onProgress({ phase: 'positions', ...progress });
      return repeatAnswer({
        ...given,
        ...{ predicate, manifest: model, text, blobs },
        chunks: 'all',
        onProgress: onPositions,
      });
    });
  } catch (thrown) {
    if (signal.aborted) throw new ChorusError('cancelled', 'the replay was stopped');
    throw manifest === null ? thrown : withPlace(thrown, manifest, predicate);
  } finally {
    worker.stop();
  }
}

/** An error about a blob, with the part of the model and the stage that need it. */
function withPlace(thrown: unknown, manifest: Manifest, { stages }: ReceiptPredicate): ChorusError {
  const error = toChorusError(thrown);
  const { code, message, details, raw } = error;
  const digest = damagedBlobs(error)[0]?.digest ?? details['digest'];
  const part = manifest.parts.find(({ blob }) => blob.digest === digest);
  const stage = stages.findIndex(({ range }) => stageBlobs(manifest, range).some((ref) => ref.digest === digest));
  if (stage === -1) return error;
  const what = part === undefined ? 'what' : `the weights of ${part.name}, which`;
  const why = code === 'digest-mismatch' ? 'are not those of their digest' : message;
  const said = `${what} stage ${stage + 1} of ${stages.length} needs: ${why}`;
  return new ChorusError(code, said, { ...details, stage, part: part?.name ?? null }, raw);
}
