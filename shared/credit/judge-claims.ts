import { FARTHEST } from '../judge/closeness.ts';
import type { Threshold } from '../judge/finding.ts';
import { outcomeOf } from '../judge/judge.ts';
import { haveEqualBits } from '../judge/numeric-class.ts';
import { readF32 } from '../judge/sketch.ts';
import { norm, quantile } from '../judge/statistics.ts';
import { thresholdFor, type ModelSize, type PairThreshold } from '../judge/thresholds.ts';
import { SKETCH_SIZE } from '../limits.ts';
import type { Claim } from './claim.ts';

/**
 * The limits of logits are measured relative to all log-probabilities of a row, and a claim shows the logits above the last
 * candidate, which are smaller, each less a number that has noise of its own.
 */
const LOGITS_FACTOR = 8;

/** A claim with the name of the class that its replica computes in. */
export interface ClaimOf {
  readonly claim: Claim;
  readonly numericClass: string;
}

/**
 * The positions in which two replicas of one stage and session show that they computed the same of the same input, by what
 * each of them signed; null for none. Equal output chains show it for all; two that have no room for any difference must have
 * them. Others need sketches of the same rows under the same seed, within what the limits of their classes accept.
 */
export function agreedPositions(
  { claim, numericClass }: ClaimOf,
  other: ClaimOf,
  model: ModelSize,
): { readonly start: number; readonly end: number } | null {
  const [mine, theirs] = [claim, other.claim];
  if (mine.positions !== theirs.positions || mine.input !== theirs.input) return null;
  const end = mine.positions;
  if (mine.output === theirs.output) return { start: 0, end };
  if (haveEqualBits(numericClass, other.numericClass, mine.runs === theirs.runs)) return null;
  const isComparable = mine.seed === theirs.seed && mine.from === theirs.from && mine.sketch.length > 0;
  if (!isComparable || mine.sketch.length !== theirs.sketch.length) return null;
  const kind = mine.range.head ? 'logits' : 'hidden';
  const limits = acceptOnly(thresholdFor(numericClass, other.numericClass, kind, model));
  return areClose(readF32(mine.sketch), readF32(theirs.sketch), limits) ? { start: mine.from, end } : null;
}

/** Limits of sketches whose signs differ from row to row, so that nothing can be said of a common shift. */
function acceptOnly({ accept, ...threshold }: PairThreshold): PairThreshold {
  const factor = threshold.kind === 'logits' ? LOGITS_FACTOR : 1;
  const limits: Threshold['accept'] = {
    median: factor * accept.median,
    p95: factor * accept.p95,
    max: factor * accept.max,
    bias: Infinity,
  };
  return { ...threshold, accept: limits, reject: limits };
}

function areClose(sketch: Float32Array, other: Float32Array, limits: PairThreshold): boolean {
  const errors: number[] = [];
  const ratios: number[] = [];
  for (let i = 0; i < sketch.length; i += SKETCH_SIZE) {
    const [row, reference] = [sketch.subarray(i, i + SKETCH_SIZE), other.subarray(i, i + SKETCH_SIZE)];
    const error = norm(row.map((value, j) => value - reference[j]!));
    errors.push(error === 0 ? 0 : bounded(error / norm(reference)));
    ratios.push(error === 0 ? 1 : bounded(norm(row) / norm(reference)));
  }
  const [median, p95, max] = [0.5, 0.95, 1].map((q) => quantile(errors, q)) as [number, number, number];
  const closeness = { median, p95, max, bias: 0, norm: quantile(ratios, 0.5), tokenGap: 0 };
  return outcomeOf(closeness, limits, errors.length) === 'agreed';
}

/** Not-a-number comes from values that are none. */
function bounded(value: number): number {
  return Number.isNaN(value) ? FARTHEST : Math.min(FARTHEST, value);
}
