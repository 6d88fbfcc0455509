import type { PeerId } from '../../ids.ts';
import { FARTHEST } from '../../judge/closeness.ts';
import { formerThresholdFor, thresholdFor } from '../../judge/thresholds.ts';
import { TOP_K } from '../../limits.ts';
import type { Manifest } from '../../model/manifest.ts';
import { FORMER_SAMPLER, inverseTokenGap } from '../../rows/inverse-sampler.ts';
import { readCandidates } from '../../rows/logits-row.ts';
import { SAMPLER, tokenGap } from '../../rows/sampler.ts';
import { attestedEnds } from '../evidence/attest.ts';
import { samplerOf, type ReceiptPredicate } from '../receipt.ts';
import { badReplay } from './bad-replay.ts';
import type { ReplayedTokens } from './replay-report.ts';
import type { StageRows } from './replay-stage.ts';

/** How far logits are from giving a token, by the sampler that a receipt names. */
const samplers: ReadonlyMap<string, typeof tokenGap> = new Map([
  [SAMPLER, tokenGap],
  [FORMER_SAMPLER, inverseTokenGap],
]);

export interface DrawnTokens {
  readonly predicate: ReceiptPredicate;
  readonly manifest: Manifest;
  /** Of prompt and answer. */
  readonly tokens: readonly number[];
  /** The class that the last stage was computed in here. */
  readonly ownClass: string;
  /** Its rows. */
  readonly logits: StageRows;
  /** The chunks that are looked at, each with the replicas of the last stage that gave the bits computed here. */
  readonly equals: ReadonlyMap<number, ReadonlySet<PeerId>>;
}

/** The measure of the sampler that drew the answer. Throws `bad-message` for one that is not known here. */
export function gapMeasureOf(predicate: ReceiptPredicate): typeof tokenGap {
  const gapOf = samplers.get(samplerOf(predicate));
  if (gapOf !== undefined) return gapOf;
  throw badReplay(`its tokens were drawn by ${samplerOf(predicate)}, which is not known here`);
}

/** The tokens of the answer that follow a position of the chunks. */
export function compareTokens({ predicate, manifest, tokens, ownClass, logits, equals }: DrawnTokens): ReplayedTokens {
  const gapOf = gapMeasureOf(predicate);
  const { request } = predicate;
  const { vocabularySize } = manifest.config;
  const ends = attestedEnds(predicate.positions);
  let [compared, equal, undrawn, largestGap, limit, beyond] = [0, 0, 0, 0, 0, 0];
  let firstBeyond: number | null = null;
  for (let at = request.tokens.prompt; at < tokens.length; at++) {
    const equalHere = equals.get(ends.findIndex((end) => end > at - 1));
    if (equalHere === undefined) continue;
    const row = logits[at - 1];
    if (row === undefined) {
      undrawn += 1;
      continue;
    }
    const candidates = readCandidates(row, vocabularySize, Math.min(TOP_K, vocabularySize));
    const gap = Math.min(FARTHEST, gapOf(candidates, request.sampling, at, tokens[at]!));
    const allowed = gapAllowed(predicate, manifest, ownClass, at, equalHere);
    compared += 1;
    if (gap === 0) equal += 1;
    if (gap > allowed) {
      beyond += 1;
      firstBeyond ??= at;
    }
    limit = Math.max(limit, allowed);
    largestGap = Math.max(largestGap, gap);
  }
  return { compared, equal, undrawn, largestGap, limit, beyond, firstBeyond };
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
