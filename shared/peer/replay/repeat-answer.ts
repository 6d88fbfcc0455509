import type { LocatedBlobs } from '../../blobs/read-blobs.ts';
import { ChorusError } from '../../errors.ts';
import { stageBlobs } from '../../model/cut.ts';
import type { BlobRef, Manifest } from '../../model/manifest.ts';
import type { StageRange } from '../../model/stage.ts';
import { saltedTokens } from '../../receipt/evidence/salted.ts';
import type { ReceiptPredicate } from '../../receipt/receipt.ts';
import { replayReceipt, type ReplayOptions } from '../../receipt/replay/replay-receipt.ts';
import type { ReplayReport } from '../../receipt/replay/replay-report.ts';
import { comparePrompt } from '../../receipt/verify/compare-prompt.ts';
import type { ModelText } from '../../text/model-text.ts';
import { readingsOf, type Prompt } from '../../text/prompt.ts';
import type { WorkerClient } from '../volunteer/worker-client.ts';

export interface RepeatAnswer extends Pick<ReplayOptions, 'predicate' | 'manifest' | 'salt' | 'chunks' | 'onProgress'> {
  /** Of prompt and answer; where they are left out, those that the texts encode to. */
  readonly tokens: readonly number[] | undefined;
  readonly prompt: string | undefined;
  /** The prompt in pieces, where they are at hand. */
  readonly pieces: Prompt | undefined;
  readonly answer: string | undefined;
  readonly text: ModelText;
  /** All that `repeatBlobs` lists. */
  readonly blobs: LocatedBlobs;
  /** Without a thread as yet; it is ended with the replay. */
  readonly worker: WorkerClient;
  readonly signal: AbortSignal;
}

export interface RepeatReport extends ReplayReport {
  /** Whether the tokens spell the answer at hand, up to where it ends; null without one. */
  readonly isSpelt: boolean | null;
  /** Whether they spell more after it, as where a stop string ended it. */
  readonly goesOn: boolean;
  /** Whether the prompt at hand encodes to the tokens that were fed; null without one. */
  readonly isPrompted: boolean | null;
}

/** All blobs that a replay reads of a model, each once. Throws `bad-manifest` for stages that the model does not have. */
export function repeatBlobs(manifest: Manifest, { stages }: Pick<ReceiptPredicate, 'stages'>): BlobRef[] {
  const { tokenizer, config } = manifest.tokenizer;
  const refs = [tokenizer, config, ...stages.flatMap(({ range }) => stageBlobs(manifest, range))];
  return [...new Map(refs.map((ref) => [ref.digest, ref])).values()];
}

/**
 * Computes the answer of a verified receipt again in a compute thread of this device, one stage after the other. Throws
 * `pin-mismatch` for another runtime, `cancelled` once `signal` has aborted, and as `replayReceipt` and the thread do.
 */
export async function repeatAnswer(options: RepeatAnswer): Promise<RepeatReport> {
  const { predicate, manifest, salt, chunks, prompt, blobs, worker, signal, onProgress } = options;
  const stop = (): void => worker.stop();
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) throw new ChorusError('cancelled', 'the replay was stopped');
    const tokens = options.tokens ?? encoded(options);
    const { runtimeVersion } = await worker.start({ backend: 'wasm', keepSubgroups: false });
    const { version } = predicate.model.runtime;
    if (runtimeVersion !== version) {
      throw new ChorusError('pin-mismatch', `it ran on version ${version} of the runtime, here is ${runtimeVersion}`);
    }
    const openStage = async (range: StageRange) => {
      const needed = new Map(stageBlobs(manifest, range).map(({ digest }) => [digest, blobs.get(digest)!]));
      const request = { manifest, range, blobs: needed, probe: false, warmUp: false, maxSessions: 1 };
      const { numericClass } = await worker.load(request, signal);
      return { compute: worker.compute, numericClass };
    };
    const report = await replayReceipt({
      ...{ predicate, manifest, tokens, salt, chunks, openStage, signal, prompt: prompt ?? null },
      ...(onProgress && { onProgress }),
    });
    const texts = compareTexts(options, tokens);
    return { ...report, ...texts, isValid: report.isValid && texts.isSpelt !== false && texts.isPrompted !== false };
  } catch (thrown) {
    if (signal.aborted) throw new ChorusError('cancelled', 'the replay was stopped');
    throw thrown;
  } finally {
    signal.removeEventListener('abort', stop);
    worker.stop();
  }
}

function compareTexts(
  { text, predicate, prompt, pieces, answer }: RepeatAnswer,
  tokens: readonly number[],
): Pick<RepeatReport, 'isSpelt' | 'goesOn' | 'isPrompted'> {
  const { request, record } = predicate;
  const [fed, drawn] = [tokens.slice(0, request.tokens.prompt), tokens.slice(request.tokens.prompt)];
  const isPrompted = request.prompt === null ? null : comparePrompt(text, { prompt, pieces }, fed);
  if (answer === undefined) return { isSpelt: null, goesOn: false, isPrompted };
  // A space that begins an answer was left out in receipts of before.
  const spellings = [text.decode(drawn, fed), ...(record === undefined ? [text.decode(drawn)] : [])];
  const spelt = spellings.find((whole) => whole.startsWith(answer));
  return { isSpelt: spelt !== undefined, goesOn: spelt !== undefined && spelt !== answer, isPrompted };
}

/** Tokens that the texts encode to. An answer may be spelt by others as well; the receipt tells whether it was. */
function encoded({ prompt, pieces, answer, salt, predicate, text }: RepeatAnswer): number[] {
  const readings = pieces === undefined ? (prompt === undefined ? [] : readingsOf(text, prompt)) : [pieces];
  if (answer !== undefined) {
    const answered = text.encodePrompt({ ...text.textPrompt(answer), isRendered: true });
    for (const reading of readings) {
      const tokens = [...text.encodePrompt(reading), ...answered];
      if (saltedTokens(salt, tokens) === predicate.request.tokens.sha256) return tokens;
    }
  }
  throw new ChorusError(
    'bad-message',
    'the tokens are missing; a replay needs the secrets that the requester keeps, or a prompt and an answer that encode to them',
  );
}
