import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes.ts';
import type { Candidates } from './logits-row.ts';
import type { Sampling } from './sampler.ts';

/**
 * The sampler `chorus-sample/1`, by which answers were drawn before `chorus-sample/2`: kept so that their receipts can be
 * replayed. It inverts the cumulative distribution, so one swap of two tokens moves every draw after them.
 */

/** Its name, in receipts that say one. */
export const FORMER_SAMPLER = 'chorus-sample/1';

/** Logits closer than this may have changed places between two devices. */
const TIE = 1 / 16;

/**
 * The number in [0, 1) that decides the token at `position`: SHA-256 of the UTF-8 text `chorus-sample/1:SEED:POSITION`, its
 * first 8 bytes as a big-endian integer, the lowest 11 bits dropped, divided by 2^53.
 */
export function uniformAt(seed: number, position: number): number {
  const hash = sha256(utf8(`chorus-sample/1:${seed}:${position}`));
  const view = new DataView(hash.buffer, hash.byteOffset, 8);
  return (view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)) / 2 ** 53;
}

/**
 * The token for `position`. Temperature 0: the first candidate. Otherwise among the nucleus, with weights
 * exp(logit / temperature), the first whose running weight exceeds `uniformAt` times the total.
 */
export function drawInversely(candidates: Candidates, sampling: Sampling, position: number): number {
  const { temperature, topP, seed } = sampling;
  if (temperature === 0) return candidates.tokens[0]!;
  const running = runningWeights(candidates, temperature).slice(0, nucleusSize(candidates, topP));
  const target = uniformAt(seed, position) * running.at(-1)!;
  const index = running.findIndex((weight) => weight > target);
  return candidates.tokens[index === -1 ? running.length - 1 : index]!;
}

/**
 * How far these logits are from giving `token` at `position`: 0 if they do; at temperature 0 the distance of its logit from
 * the best; otherwise the distance of the number drawn from the token's interval of their cumulative distribution, where
 * tokens whose logits are as good as equal may stand in any order.
 */
export function inverseTokenGap(other: Candidates, sampling: Sampling, position: number, token: number): number {
  if (drawInversely(other, sampling, position) === token) return 0;
  const index = other.tokens.indexOf(token);
  if (sampling.temperature === 0) return index === -1 ? Infinity : other.logits[0]! - other.logits[index]!;
  if (index === -1) return 1;
  const weights = runningWeights(other, sampling.temperature);
  const total = weights[nucleusSize(other, sampling.topP) - 1]!;
  const before = other.logits.findIndex((logit) => logit <= other.logits[index]! + TIE);
  const last = other.logits.findLastIndex((logit) => logit >= other.logits[index]! - TIE);
  const drawn = uniformAt(sampling.seed, position);
  return Math.max(0, (weights[before - 1] ?? 0) / total - drawn, drawn - weights[last]! / total);
}

function nucleusSize({ logits, logSumExp }: Candidates, topP: number): number {
  let size = 0;
  for (let mass = 0; size < logits.length && (size === 0 || mass < topP); size++) {
    mass += Math.exp(logits[size]! - logSumExp);
  }
  return size;
}

/** For each candidate the weight of it and of all before it. */
function runningWeights({ logits }: Candidates, temperature: number): number[] {
  let total = 0;
  return Array.from(logits, (logit) => (total += Math.exp((logit - logits[0]!) / temperature)));
}
