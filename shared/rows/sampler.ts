import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes.ts';
import type { Candidates } from './logits-row.ts';

export interface Sampling {
  /** 0 takes the likeliest token. */
  readonly temperature: number;
  /** Probability mass of the nucleus, over 0 and at most 1. */
  readonly topP: number;
  /** Any safe integer; unused at temperature 0. */
  readonly seed: number;
}

export interface Sample {
  readonly token: number;
  /** Natural logarithm of the model's own probability (temperature 1, whole vocabulary). */
  readonly logprob: number;
}

/** A token with how it was drawn from the logits of the position before its own. */
export interface Drawn {
  readonly token: number;
  readonly sampling: Sampling;
}

/** The token that was drawn for a position; null where none was, or another one was sent in its place. */
export type DrawnAt = (position: number) => Drawn | null;

/**
 * The number in [0, 1) that decides the token at `position` of a history: SHA-256 of the UTF-8 text
 * `chorus-sample/1:SEED:POSITION` (both in decimal), its first 8 bytes as a big-endian integer, the lowest 11 bits
 * dropped, divided by 2^53. It depends on nothing else, so an answer replayed on another route draws the same numbers.
 */
export function uniformAt(seed: number, position: number): number {
  const hash = sha256(utf8(`chorus-sample/1:${seed}:${position}`));
  const view = new DataView(hash.buffer, hash.byteOffset, 8);
  return (view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)) / 2 ** 53;
}

/**
 * Picks the token for `position`. Temperature 0: the highest logit, the lowest id among equals. Otherwise the nucleus is
 * the fewest candidates, likeliest first, whose model probabilities (the log-sum-exp is their normalizer, so what the
 * other tokens weigh counts) reach `topP`, or all candidates; the draw is among these with weights exp(logit / temperature),
 * taking the first whose running weight exceeds `uniformAt` times the total.
 */
export function sampleToken(candidates: Candidates, sampling: Sampling, position: number): Sample {
  const index = sampling.temperature === 0 ? 0 : drawIndex(candidates, sampling, position);
  const logprob = Math.min(0, candidates.logits[index]! - candidates.logSumExp);
  return { token: candidates.tokens[index]!, logprob };
}

function drawIndex(candidates: Candidates, { temperature, topP, seed }: Sampling, position: number): number {
  const running = runningWeights(candidates, temperature).slice(0, nucleusSize(candidates, topP));
  const target = uniformAt(seed, position) * running.at(-1)!;
  const index = running.findIndex((weight) => weight > target);
  return index === -1 ? running.length - 1 : index;
}

/** How many candidates are in the nucleus; see `sampleToken`. */
export function nucleusSize({ logits, logSumExp }: Candidates, topP: number): number {
  let size = 0;
  for (let mass = 0; size < logits.length && (size === 0 || mass < topP); size++) {
    mass += Math.exp(logits[size]! - logSumExp);
  }
  return size;
}

/** For each candidate the weight of it and of all before it; see `sampleToken`. */
export function runningWeights({ logits }: Candidates, temperature: number): number[] {
  let total = 0;
  return Array.from(logits, (logit) => (total += Math.exp((logit - logits[0]!) / temperature)));
}
