import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';

export interface Sampling {
  /** 0 takes the likeliest token. */
  readonly temperature: number;
  /** Probability mass of the nucleus, over 0 and at most 1. */
  readonly topP: number;
  /** Any safe integer; unused at temperature 0. */
  readonly seed: number;
}

/** One row of logits as the last stage returns it: the best tokens by falling logit and then rising id. */
export interface Candidates {
  /** Natural logarithm of the sum of exp(logit) over the whole vocabulary. */
  readonly logSumExp: number;
  readonly tokens: Uint32Array;
  readonly logits: Float32Array;
}

export interface Sample {
  readonly token: number;
  /** Natural logarithm of the model's own probability (temperature 1, whole vocabulary). */
  readonly logprob: number;
}

/** Bytes of one logits row that carries `candidates` pairs. */
export function logitsRowBytes(candidates: number): number {
  return 4 + 8 * candidates;
}

/**
 * Reads one logits row: f32 log-sum-exp, then pairs of u32 token id and f32 logit, little-endian. Throws `bad-message`
 * where the size is wrong, a number is not finite, an id is outside the vocabulary or there twice, or the order is not by
 * falling logit and then rising id.
 */
export function readCandidates(row: Uint8Array<ArrayBuffer>, vocabularySize: number, count: number): Candidates {
  if (row.length !== logitsRowBytes(count)) throw new ChorusError('bad-message', 'a logits row has the wrong size');
  const view = new DataView(row.buffer, row.byteOffset, row.length);
  const logSumExp = view.getFloat32(0, true);
  const tokens = new Uint32Array(count);
  const logits = new Float32Array(count);
  const seen = new Set<number>();
  for (let i = 0; i < count; i++) {
    const token = view.getUint32(4 + 8 * i, true);
    const logit = view.getFloat32(8 + 8 * i, true);
    if (!Number.isFinite(logit)) throw new ChorusError('bad-message', 'a logit is not a finite number');
    if (token >= vocabularySize) throw new ChorusError('bad-message', 'a token id lies outside the vocabulary');
    // It would be drawn as often as it is named.
    if (seen.has(token)) throw new ChorusError('bad-message', 'a token is named twice in a logits row');
    seen.add(token);
    const before = i === 0 ? Infinity : logits[i - 1]!;
    if (logit > before || (logit === before && token <= tokens[i - 1]!)) {
      throw new ChorusError('bad-message', 'the candidates of a logits row are not in order');
    }
    tokens[i] = token;
    logits[i] = logit;
  }
  if (!Number.isFinite(logSumExp)) throw new ChorusError('bad-message', 'a log-sum-exp is not a finite number');
  return { logSumExp, tokens, logits };
}

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
