import { canonicalBase64 } from '../../crypto/strict-envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { FARTHEST } from '../../judge/closeness.ts';
import { dependsOnRuns, describeNumericClassInFull, isExactClass } from '../../judge/numeric-class.ts';
import { formerThresholdFor, thresholdFor } from '../../judge/thresholds.ts';
import { TOP_K } from '../../limits.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { StageRange } from '../../model/stage.ts';
import type { StageCompute } from '../../rows/compute.ts';
import { FORMER_SAMPLER, inverseTokenGap } from '../../rows/inverse-sampler.ts';
import { readCandidates } from '../../rows/logits-row.ts';
import { RowChain, splitRows } from '../../rows/row-chain.ts';
import { type Rows, encodeTokens } from '../../rows/rows.ts';
import { SAMPLER, tokenGap } from '../../rows/sampler.ts';
import { attestedEnds, parseAttestation } from '../evidence/attest.ts';
import type { AttestationPredicate } from '../evidence/attestation.ts';
import type { FedRun } from '../evidence/evidence.ts';
import { shapeOf, unpackRuns } from '../evidence/runs.ts';
import { salted, saltedTokens } from '../evidence/salted.ts';
import { samplerOf, type ReceiptPredicate } from '../receipt.ts';

/** How far logits are from giving a token, by the sampler that a receipt names. */
const samplers: ReadonlyMap<string, typeof tokenGap> = new Map([
  [SAMPLER, tokenGap],
  [FORMER_SAMPLER, inverseTokenGap],
]);

/** A stage of the model on this machine. */
export interface ReplayStage {
  readonly compute: StageCompute;
  /** The class that it computes in: bits are compared with those of replicas of the same one, if it is exact. */
  readonly numericClass: string;
}

export interface ReplayOptions {
  /** Of a receipt that was verified. */
  readonly predicate: ReceiptPredicate;
  readonly manifest: Manifest;
  /** Of prompt and answer. */
  readonly tokens: readonly number[];
  readonly salt: Uint8Array<ArrayBuffer>;
  /** Which chunks of 32 positions are compared; all positions before them are computed as well. */
  readonly chunks: readonly number[] | 'all';
  /** Called for one stage after the other. */
  readonly openStage: (range: StageRange) => Promise<ReplayStage>;
  readonly onProgress?: (stage: number, stages: number) => void;
}

export interface ReplayReport {
  /** True if something could be compared, nothing of that differs, and every token was drawn from logits. */
  readonly isValid: boolean;
  readonly outputs: readonly {
    readonly stage: number;
    readonly replica: PeerId;
    readonly chunk: number;
    readonly outcome: 'equal' | 'differs' | 'not-compared';
    /** Why it could not be compared bit for bit; empty where it was. */
    readonly reason: string;
  }[];
  /** Tokens of the answer, against what the sampler makes of the logits computed here. */
  readonly tokens: {
    readonly compared: number;
    readonly equal: number;
    /** Those that no replica computed logits for: they were fed, and nothing shows that the model drew them. */
    readonly undrawn: number;
    readonly largestGap: number;
    /** Gap within which two honest devices may draw different tokens; 0 where all of these were drawn in these very bits. */
    readonly limit: number;
    /** Tokens whose gap is beyond that of the replica that drew them. */
    readonly beyond: number;
  };
}

/** One run of one stage, with its output. */
interface Ran {
  readonly run: FedRun;
  readonly output: Rows;
}

/**
 * Computes an answer again, stage by stage in the runs of the receipt, and compares what it can: the output chains of
 * replicas of this machine's class bit for bit, if the class is exact and as long as all before them were equal too, and each
 * token of the answer with what the sampler draws here. Throws `bad-message` where tokens or chunks are not those of the receipt.
 */
export async function replayReceipt(options: ReplayOptions): Promise<ReplayReport> {
  const { predicate, tokens, salt, openStage, onProgress } = options;
  const { request, positions, stages } = predicate;
  if (saltedTokens(salt, tokens) !== request.tokens.sha256) throw bad('the tokens are not those of the receipt');
  const chunks = chosenChunks(options);
  const end = attestedEnds(positions)[chunks.at(-1)!]!;
  const all = unpackRuns(predicate.runs, positions);
  const runs = all.filter(({ start }) => start < end);
  const shape = shapeOf(all);
  const outputs: ReplayReport['outputs'][number][] = [];
  let inputs = runs.map((run) => tokenRows(run, tokens));
  let isInputExact = chunks.map(() => true);
  let ran: readonly Ran[] = [];
  let ownClass = '';
  /** Replicas of the last stage whose bits were computed here too, chunk by chunk. */
  let equals = chunks.map(() => new Set<PeerId>());
  for (const [stage, { range, replicas }] of stages.entries()) {
    onProgress?.(stage, stages.length);
    const { compute, numericClass } = await openStage(range);
    ownClass = numericClass;
    ran = await runStage(compute, predicate, runs, inputs);
    const chain = chainOf(ran, end, range.head);
    const found = chunks.map((chunk) => salted(salt, chain.at(attestedEnds(positions)[chunk]!)));
    const isExact = [...isInputExact];
    equals = chunks.map(() => new Set());
    for (const { id, role, signed } of replicas) {
      const attested = signed && parseAttestation(canonicalBase64(signed.attestation.payload)).predicate;
      for (const [i, chunk] of chunks.entries()) {
        const reason = whyNot(attested, ownClass, shape, isInputExact[i]!);
        const isEqual = attested?.outputs[chunk]?.sha256 === found[i];
        const outcome = reason !== '' ? 'not-compared' : isEqual ? 'equal' : 'differs';
        outputs.push({ stage, replica: id, chunk, outcome, reason });
        if (outcome === 'equal') equals[i]!.add(id);
        if (role === 'primary') isExact[i] &&= isEqual;
      }
    }
    isInputExact = isExact;
    inputs = ran.map(({ output }) => output);
  }
  const drawn = compareTokens(options, ownClass, ran, new Map(chunks.map((chunk, i) => [chunk, equals[i]!])));
  const isCompared = drawn.compared > 0 || outputs.some(({ outcome }) => outcome !== 'not-compared');
  const isEqual = outputs.every(({ outcome }) => outcome !== 'differs') && drawn.beyond === 0;
  return { isValid: isCompared && isEqual && drawn.undrawn === 0, outputs, tokens: drawn };
}

function chosenChunks({ chunks, predicate: { positions } }: ReplayOptions): number[] {
  const { length } = attestedEnds(positions);
  if (chunks === 'all') return Array.from({ length }, (_, chunk) => chunk);
  const chosen = [...new Set(chunks)].sort((a, b) => a - b);
  if (chosen.length === 0 || chosen.some((chunk) => !Number.isInteger(chunk) || chunk < 0 || chunk >= length)) {
    throw bad(`a chunk that it does not have; it has 0 to ${length - 1}`);
  }
  return chosen;
}

/** A run may have had tokens that a cut took back: others stand for them, for no row depends on one after it. */
function tokenRows({ start, count }: FedRun, tokens: readonly number[]): Rows {
  const fed = Array.from({ length: count }, (_, i) => tokens[start + i] ?? 0);
  return { kind: 'tokens', start, count, bytes: encodeTokens(fed) };
}

async function runStage(
  compute: StageCompute,
  { session }: ReceiptPredicate,
  runs: readonly FedRun[],
  inputs: readonly Rows[],
): Promise<Ran[]> {
  await compute.open(
    session,
    runs.reduce((end, { start, count }) => Math.max(end, start + count), 0),
  );
  const ran: Ran[] = [];
  let end = 0;
  try {
    for (const [i, run] of runs.entries()) {
      if (run.start < end) await compute.cut(session, run.start);
      end = run.start + run.count;
      const { output } = await compute.run({ session, input: inputs[i]!, logitsFrom: end - run.logits });
      ran.push({ run, output });
    }
  } finally {
    await compute.close(session);
  }
  return ran;
}

/** The chain over what is left of the runs before `end`; at the head, positions of which no logits were asked have none. */
function chainOf(ran: readonly Ran[], end: number, isHead: boolean): RowChain {
  const chain = new RowChain();
  for (const { run, output } of ran) {
    chain.cut(run.start);
    const rows = splitRows(output.bytes, output.count);
    const from = isHead ? run.start + run.count - run.logits : run.start;
    for (let at = run.start; at < run.start + run.count; at++) chain.append(rows[at - from] ?? new Uint8Array());
  }
  // Positions after `end` were computed only because they share a run with it.
  chain.cut(end);
  return chain;
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

/**
 * The tokens of the answer that follow a position of the chunks. `equals` has the chunks, each with the replicas of the last
 * stage that gave the bits computed here.
 */
function compareTokens(
  { predicate, manifest, tokens }: ReplayOptions,
  ownClass: string,
  ran: readonly Ran[],
  equals: ReadonlyMap<number, ReadonlySet<PeerId>>,
): ReplayReport['tokens'] {
  const { request } = predicate;
  const gapOf = samplers.get(samplerOf(predicate));
  if (gapOf === undefined) throw bad(`its tokens were drawn by ${samplerOf(predicate)}, which is not known here`);
  const { vocabularySize } = manifest.config;
  const ends = attestedEnds(predicate.positions);
  let [compared, equal, undrawn, largestGap, limit, beyond] = [0, 0, 0, 0, 0, 0];
  const rows = new Map<number, Uint8Array<ArrayBuffer>>();
  for (const { run, output } of ran) {
    for (let at = run.start; at < run.start + run.count; at++) rows.delete(at);
    splitRows(output.bytes, output.count).forEach((row, i) => rows.set(run.start + run.count - run.logits + i, row));
  }
  for (let at = request.tokens.prompt; at < tokens.length; at++) {
    const equalHere = equals.get(ends.findIndex((end) => end > at - 1));
    if (equalHere === undefined) continue;
    const row = rows.get(at - 1);
    if (row === undefined) {
      undrawn += 1;
      continue;
    }
    const candidates = readCandidates(row, vocabularySize, Math.min(TOP_K, vocabularySize));
    const gap = Math.min(FARTHEST, gapOf(candidates, request.sampling, at, tokens[at]!));
    const allowed = gapAllowed(predicate, manifest, ownClass, at, equalHere);
    compared += 1;
    if (gap === 0) equal += 1;
    if (gap > allowed) beyond += 1;
    limit = Math.max(limit, allowed);
    largestGap = Math.max(largestGap, gap);
  }
  return { compared, equal, undrawn, largestGap, limit, beyond };
}

/**
 * How far a token at `position` may be from what is drawn here: nothing where one of those whose rows are said to have drawn
 * it gave these very bits; else as far as the closest of their classes may be from the class of this machine.
 */
function gapAllowed(
  predicate: ReceiptPredicate,
  { config }: Manifest,
  ownClass: string,
  position: number,
  equals: ReadonlySet<PeerId>,
): number {
  const isFormer = samplerOf(predicate) === FORMER_SAMPLER;
  const limitOf = (numericClass: string): number => {
    return (isFormer ? formerThresholdFor : thresholdFor)(numericClass, ownClass, 'logits', config).tokenGap;
  };
  const { replicas } = predicate.stages.at(-1)!;
  const [primary] = replicas;
  if (isFormer) return limitOf(primary!.numericClass);
  const drawers = drawersOf(predicate, position);
  if (drawers.length === 0 || drawers.some(({ id }) => equals.has(id))) return 0;
  return Math.min(...drawers.map(({ numericClass }) => limitOf(numericClass)));
}

/** The replicas, a referee among them, whose rows are said to have drawn the token at `position`; the primary at least. */
function drawersOf({ spans, stages }: ReceiptPredicate, position: number) {
  const { replicas } = stages.at(-1)!;
  const span = spans.find(({ start, end }) => position > start && position <= end);
  const judged = span?.stages.find(({ stage }) => stage === stages.length - 1);
  const primary = replicas[0]!;
  if (span === undefined || judged === undefined) return [primary];
  const { findings, arbiter, drawnBy = null } = judged;
  const isOthers = drawnBy !== null && position === span.end;
  const shadows = replicas.filter(({ id }) => {
    const finding = findings.find(({ shadow }) => shadow === id);
    const draws = finding?.draws ?? null;
    if (finding?.outcome !== 'agreed' || draws === null) return false;
    return isOthers ? id === drawnBy : draws.firstLost === null || position < draws.firstLost;
  });
  if (!isOthers) return [primary, ...shadows];
  return arbiter?.id === drawnBy ? [...shadows, arbiter] : shadows;
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `the answer cannot be computed again: ${reason}`);
}
