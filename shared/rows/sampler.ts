import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes.ts';
import { exp, ln, lnOf } from './exact-math.ts';
import type { Candidates } from './logits-row.ts';

/** The name of how tokens are drawn here; receipts bear it. */
export const SAMPLER = 'chorus-sample/2';

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
 * The noise of each token at `position` of a history: -ln(-ln u), u = (n + 1/2) / 2^53, where n are the first 8 bytes of
 * SHA-256 of the UTF-8 text `chorus-sample/2:SEED:POSITION:TOKEN` (all in decimal) as a big-endian integer, the lowest 11
 * bits dropped. It depends on nothing else, so replicas whose logits differ by roundings draw alike but for near ties, and
 * an answer made again on another route draws the same.
 */
export function noiseAt(seed: number, position: number): (token: number) => number {
  const before = `${SAMPLER}:${seed}:${position}:`;
  return (token) => {
    const hash = sha256(utf8(`${before}${token}`));
    return gumbel(bigEndian(hash, 0) * 2 ** 21 + (bigEndian(hash, 4) >>> 11));
  };
}

function bigEndian(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** -ln(-ln u) of u = (n + 1/2) / 2^53, for a whole number n from 0 to 2^53 - 1. */
export function gumbel(n: number): number {
  return -ln(-lnOfUniform(n));
}

/** 1 - √½. */
const SMALL = 0.2928932188134524;

/** In the upper half n + 1/2 is no double; what is missing to 1 is one, and so is its double. */
function lnOfUniform(n: number): number {
  if (n < 2 ** 52) return ln((n + 0.5) / 2 ** 53);
  const missing = (2 ** 53 - 1 - n + 0.5) / 2 ** 53;
  return missing < SMALL ? lnOf(0, -missing) : lnOf(-1, 1 - 2 * missing);
}

/** The candidates that may be drawn, in their order. */
interface Nucleus {
  /** logit / temperature + noise. */
  readonly scores: readonly number[];
  /** For each, what those before it weigh: the model's own probabilities. */
  readonly massBefore: readonly number[];
  /** The place of the highest score, the first of equal ones. */
  readonly best: number;
}

/** The fewest candidates, likeliest first, that reach `topP` of the probability of all tokens, or all candidates. */
function nucleusOf(candidates: Candidates, { temperature, topP, seed }: Sampling, position: number): Nucleus {
  const { logits, tokens, logSumExp } = candidates;
  const noise = noiseAt(seed, position);
  const scores: number[] = [];
  const massBefore: number[] = [];
  let [mass, best] = [0, 0];
  for (let i = 0; i < logits.length && (i === 0 || mass < topP); i++) {
    massBefore.push(mass);
    mass += exp(logits[i]! - logSumExp);
    scores.push(logits[i]! / temperature + noise(tokens[i]!));
    if (scores[i]! > scores[best]!) best = i;
  }
  return { scores, massBefore, best };
}

/**
 * Draws the token for `position` (`chorus-sample/2`). Temperature 0: the highest logit, the lowest id among equals.
 * Otherwise the nucleus is the fewest candidates, likeliest first, whose model probabilities (the log-sum-exp is their
 * normalizer, so what the other tokens weigh counts) reach `topP`, or all candidates; of these the one with the highest
 * logit / temperature + noise (`noiseAt`), which each is as often as its weight exp(logit / temperature) says.
 */
export function sampleToken(candidates: Candidates, sampling: Sampling, position: number): Sample {
  const index = sampling.temperature === 0 ? 0 : nucleusOf(candidates, sampling, position).best;
  const logprob = Math.min(0, candidates.logits[index]! - candidates.logSumExp);
  return { token: candidates.tokens[index]!, logprob };
}

/**
 * How far these logits are from giving `token` at `position`, in logits: by how much one must change against another, or all
 * together, for `sampleToken` to draw it. 0 if it does, Infinity where the token is no candidate.
 */
export function tokenGap(candidates: Candidates, sampling: Sampling, position: number, token: number): number {
  const { tokens, logits } = candidates;
  const index = tokens.indexOf(token);
  if (index === -1) return Infinity;
  const { temperature, topP } = sampling;
  if (temperature === 0) return logits[0]! - logits[index]!;
  const { scores, massBefore } = nucleusOf(candidates, { ...sampling, topP: Infinity }, position);
  const isIn = (place: number): boolean => place === 0 || massBefore[place]! < topP;
  /** By how much those before a place must gain or lose together for it to leave the nucleus, or to come into it. */
  const edge = (place: number): number => Math.abs(Math.log(massBefore[place]! / topP));
  let gap = isIn(index) ? 0 : edge(index);
  for (let place = 0; place < scores.length && isIn(place); place++) {
    const ahead = temperature * (scores[place]! - scores[index]!);
    // Another behind the token need not be beaten where it leaves the nucleus.
    if (ahead > 0) gap = Math.max(gap, place > index ? Math.min(ahead, edge(place)) : ahead);
  }
  return gap;
}
