import { utf8 } from '../../bytes.ts';
import { canonicalBase64 } from '../../crypto/strict-envelope.ts';
import type { PeerId } from '../../ids.ts';
import { dependsOnRuns, describeNumericClassInFull, isExactClass } from '../../judge/numeric-class.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { StageRange } from '../../model/stage.ts';
import { attestedEnds, parseAttestation } from '../evidence/attest.ts';
import type { AttestationPredicate } from '../evidence/attestation.ts';
import { shapeOf, unpackRuns, wantedLogits } from '../evidence/runs.ts';
import { salted, saltedTokens } from '../evidence/salted.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import { badReplay } from './bad-replay.ts';
import { compareTokens, gapMeasureOf } from './compare-tokens.ts';
import { positionsOf, type ReplayedOutput, type ReplayReport } from './replay-report.ts';
import {
  chainOf,
  positionsToRun,
  replayStage,
  tokenRows,
  type ReplayedRuns,
  type ReplayStage,
} from './replay-stage.ts';

export interface ReplayProgress {
  readonly stage: number;
  readonly stages: number;
  /** Positions that were computed, over all stages, of those to compute. */
  readonly done: number;
  readonly total: number;
}

export interface ReplayOptions {
  /** Of a receipt that was verified. */
  readonly predicate: ReceiptPredicate;
  readonly manifest: Manifest;
  /** Of prompt and answer. */
  readonly tokens: readonly number[];
  readonly salt: Uint8Array<ArrayBuffer>;
  /** As it was asked, to tell a wrong salt from wrong tokens; null or left out where it is not at hand. */
  readonly prompt?: string | null;
  /** Which chunks of 32 positions are compared; all positions before them are computed as well. */
  readonly chunks: readonly number[] | 'all';
  /** Called for one stage after the other. */
  readonly openStage: (range: StageRange) => Promise<ReplayStage>;
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Computes an answer again, stage by stage with the cuts of the receipt, and compares what it can: the output chains of
 * replicas of this machine's class bit for bit, if the class is exact and as long as all before them were equal too, and each
 * token of the answer with what the sampler draws here. Throws `bad-message`, with what does not fit and where, for tokens, a salt
 * or chunks that are not those of the receipt, and `cancelled` once `signal` has aborted.
 */
export async function replayReceipt(options: ReplayOptions): Promise<ReplayReport> {
  const { predicate, manifest, tokens, salt } = options;
  const { positions, stages } = predicate;
  const chunks = chosenChunks(options);
  gapMeasureOf(predicate);
  if (saltedTokens(salt, tokens) !== predicate.request.tokens.sha256) throw await misfitOf(options);
  const all = unpackRuns(predicate.runs, positions);
  const shape = shapeOf(all);
  const work = new Work(options, chunks.at(-1)!);
  const outputs: ReplayedOutput[] = [];
  let inputs = tokenRows(tokens, work.answer.runs);
  let isInputExact = chunks.map(() => true);
  let ownClass = '';
  /** Replicas of the last stage whose bits were computed here too, chunk by chunk. */
  let equals = chunks.map(() => new Set<PeerId>());
  for (const [stage, { range, replicas }] of stages.entries()) {
    const opened = await work.open(stage);
    ownClass = opened.numericClass;
    inputs = await replayStage(opened, range, inputs, work.answer);
    const found = endsOf(chunks, positions, chainOf(inputs, work.answer.end)).map((chain) => salted(salt, chain));
    const isExact = [...isInputExact];
    equals = chunks.map(() => new Set());
    for (const { id, role, signed } of replicas) {
      const attested = signed && parseAttestation(canonicalBase64(signed.attestation.payload)).predicate;
      for (const [i, chunk] of chunks.entries()) {
        const reason = whyNot(attested, ownClass, shape, isInputExact[i]!);
        const isEqual = attested?.outputs[chunk]?.sha256 === found[i];
        const outcome = reason !== '' ? 'not-compared' : isEqual ? 'equal' : 'differs';
        outputs.push({ stage, replica: id, role, chunk, outcome, reason });
        if (outcome === 'equal') equals[i]!.add(id);
        if (role === 'primary') isExact[i] &&= isEqual;
      }
    }
    isInputExact = isExact;
  }
  const drawn = compareTokens({
    ...{ predicate, manifest, tokens, ownClass, logits: inputs },
    equals: new Map(chunks.map((chunk, i) => [chunk, equals[i]!])),
  });
  const isCompared = drawn.compared > 0 || outputs.some(({ outcome }) => outcome !== 'not-compared');
  const isEqual = outputs.every(({ outcome }) => outcome !== 'differs') && drawn.beyond === 0;
  const of = { ranges: stages.map(({ range }) => range), positions, promptTokens: predicate.request.tokens.prompt };
  return { isValid: isCompared && isEqual && drawn.undrawn === 0, outputs, tokens: drawn, of };
}

/** The runs of a replay up to the last chunk that is compared, and how far they are. */
class Work {
  readonly answer: ReplayedRuns;
  readonly #options: ReplayOptions;
  #done = 0;
  #stage = 0;
  #total = 0;

  constructor(options: ReplayOptions, lastChunk: number) {
    const { predicate, signal = new AbortController().signal } = options;
    const { runs: packed, positions, session } = predicate;
    const { end } = positionsOf(lastChunk, positions);
    const all = unpackRuns(packed, positions);
    const runs = all.filter(({ start }) => start < end);
    const onRun = (count: number): void => this.#report(count);
    this.answer = { session, runs, end, wanted: wantedLogits(all, positions), onRun, signal };
    this.#options = options;
  }

  async open(stage: number): Promise<ReplayStage> {
    const { predicate, openStage } = this.#options;
    const opened = await openStage(predicate.stages[stage]!.range);
    this.#stage = stage;
    const left = predicate.stages.length - stage;
    this.#total = this.#done + left * positionsToRun(opened.numericClass, this.answer);
    this.#report(0);
    return opened;
  }

  #report(count: number): void {
    this.#done += count;
    const { predicate, onProgress } = this.#options;
    onProgress?.({ stage: this.#stage, stages: predicate.stages.length, done: this.#done, total: this.#total });
  }
}

/** Why tokens and salt are not those of the receipt, as closely as what the first stage signed tells. */
async function misfitOf(options: ReplayOptions) {
  const { predicate, tokens, salt, prompt = null } = options;
  const { request, positions, stages } = predicate;
  const count = request.tokens.prompt + request.tokens.answer;
  if (tokens.length !== count) return badReplay(`the receipt is of ${count} tokens, and ${tokens.length} were given`);
  const isSalt = prompt !== null && request.prompt?.sha256 === salted(salt, utf8(prompt));
  const isNoSalt = prompt !== null && request.prompt !== null && !isSalt;
  const everything = isNoSalt
    ? 'neither prompt nor tokens are those of the receipt under this salt: the salt is another one, or both are'
    : 'the tokens are not those of the receipt, or the salt is another one';
  if (isNoSalt) return badReplay(everything, { what: 'salt' });
  const work = new Work(options, attestedEnds(positions).length - 1);
  const opened = await work.open(0);
  const rows = await replayStage(opened, stages[0]!.range, tokenRows(tokens, work.answer.runs), work.answer);
  const shape = shapeOf(unpackRuns(predicate.runs, positions));
  const chunks = attestedEnds(positions).map((_, chunk) => chunk);
  const found = endsOf(chunks, positions, chainOf(rows, work.answer.end)).map((chain) => salted(salt, chain));
  for (const { signed } of stages[0]!.replicas) {
    const attested = signed && parseAttestation(canonicalBase64(signed.attestation.payload)).predicate;
    if (whyNot(attested, opened.numericClass, shape, true) !== '') continue;
    const chunk = chunks.find((each) => attested?.outputs[each]?.sha256 !== found[each]);
    if (chunk === undefined) {
      return badReplay('the last token is not that of the receipt: no stage ran it', {
        what: 'tokens',
        position: tokens.length - 1,
      });
    }
    if (chunk === 0 && !isSalt) return badReplay(everything, { what: 'salt' });
    const { start, end } = positionsOf(chunk, positions);
    const where = `one of tokens ${start + 1} to ${end} is another one, counted from the beginning of the prompt`;
    return badReplay(`the tokens are not those of the receipt: ${where}`, { what: 'tokens', chunk, start, end });
  }
  return badReplay(everything);
}

function endsOf(chunks: readonly number[], positions: number, chain: ReturnType<typeof chainOf>) {
  const ends = attestedEnds(positions);
  return chunks.map((chunk) => chain.at(ends[chunk]!));
}

function chosenChunks({ chunks, predicate: { positions } }: ReplayOptions): number[] {
  const { length } = attestedEnds(positions);
  if (chunks === 'all') return Array.from({ length }, (_, chunk) => chunk);
  const chosen = [...new Set(chunks)].sort((a, b) => a - b);
  if (chosen.length === 0 || chosen.some((chunk) => !Number.isInteger(chunk) || chunk < 0 || chunk >= length)) {
    throw badReplay(`a chunk that it does not have; it has 0 to ${length - 1}`);
  }
  return chosen;
}

function whyNot(attested: AttestationPredicate | null, ownClass: string, shape: string, isInputExact: boolean): string {
  if (attested === null) return 'it signed nothing';
  const { numericClass, runs } = attested;
  if (!isExactClass(numericClass)) return `bits of ${numericClass} depend on the device`;
  if (numericClass !== ownClass) {
    const [theirs, own] = [numericClass, ownClass].map(describeNumericClassInFull);
    return `it computed with ${theirs}, and here it was ${own}`;
  }
  if (dependsOnRuns(numericClass) && runs.sha256 !== shape)
    return 'it computed in other runs than those of the receipt';
  return isInputExact ? '' : 'what it took in came from a stage that was not equal';
}
