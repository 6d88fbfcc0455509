import { ChorusError } from '../errors.ts';
import { SKETCH_SIZE, TOP_K } from '../limits.ts';
import { logitsRowBytes, readCandidates, type Candidates } from '../rows/logits-row.ts';
import { splitRows } from '../rows/row-chain.ts';
import type { Sampled } from './draws.ts';
import type { Closeness } from './finding.ts';
import { readF32 } from './sketch.ts';
import type { Reveal } from './statement.ts';
import { norm, quantile } from './statistics.ts';

/** The kind of rows that the judged stage gives. */
export type OutputKind =
  | { readonly kind: 'hidden' }
  | { readonly kind: 'logits'; readonly vocabularySize: number; readonly sampled: Sampled | null };

/** The closeness of two outputs that are equal bit for bit. */
export const EXACT: Closeness = { median: 0, p95: 0, max: 0, bias: 0, norm: 1, tokenGap: 0 };
/** Stands for any difference that is beyond measure, so that a finding is always made of numbers. */
export const FARTHEST = 1e6;
/** The closeness of two outputs that cannot be compared. */
export const INCOMPARABLE: Closeness = {
  median: FARTHEST,
  p95: FARTHEST,
  max: FARTHEST,
  bias: FARTHEST,
  norm: FARTHEST,
  tokenGap: FARTHEST,
};

/**
 * How close the primary came to the shadow in what both revealed of one span. Hidden rows are compared by their update,
 * the sketch of the output less that of the input, since most of a hidden row is the row that came in. Different numbers
 * of rows, or rows that are no numbers, count as farthest apart. What is drawn from logits is compared apart (draws.ts). Throws `bad-message` for malformed logits rows.
 */
export function closenessOf(primary: Reveal, shadow: Reveal, output: OutputKind): Closeness {
  if (primary.output.length !== shadow.output.length) return INCOMPARABLE;
  if (output.kind === 'hidden') return hiddenCloseness(primary, shadow);
  // Within a prompt there are spans of which nobody asked for logits.
  return primary.output.length === 0 ? EXACT : logitsCloseness(primary, shadow, output);
}

function hiddenCloseness(primary: Reveal, shadow: Reveal): Closeness {
  const [zP, zV] = [readF32(primary.output), readF32(shadow.output)];
  const base = shadow.input.length === 0 ? new Float32Array(zV.length) : readF32(shadow.input);
  const count = shadow.end - shadow.start;
  if (base.length !== zV.length || zV.length !== count * SKETCH_SIZE) return INCOMPARABLE;
  const errors: number[] = [];
  const ratios: number[] = [];
  const shift = new Float64Array(SKETCH_SIZE);
  let squares = 0;
  for (let row = 0; row < count; row++) {
    let [error, update, claimed] = [0, 0, 0];
    for (let j = 0; j < SKETCH_SIZE; j++) {
      const i = row * SKETCH_SIZE + j;
      error += (zP[i]! - zV[i]!) ** 2;
      update += (zV[i]! - base[i]!) ** 2;
      claimed += (zP[i]! - base[i]!) ** 2;
      shift[j]! += (zP[i]! - zV[i]!) / count;
    }
    errors.push(relative(Math.sqrt(error), Math.sqrt(update)));
    ratios.push(ratio(Math.sqrt(claimed), Math.sqrt(update)));
    squares += update / count;
  }
  return summary(errors, ratios, relative(norm(shift), Math.sqrt(squares)));
}

function logitsCloseness(primary: Reveal, shadow: Reveal, output: OutputKind & { kind: 'logits' }): Closeness {
  const [listsP, listsV] = [primary, shadow].map((reveal) => candidatesOf(reveal, output.vocabularySize)) as [
    Candidates[],
    Candidates[],
  ];
  const errors: number[] = [];
  const ratios: number[] = [];
  let [shift, squares, pairs] = [0, 0, 0];
  listsV.forEach((listV, row) => {
    const listP = listsP[row]!;
    const logprobsP = logprobsOf(listP);
    const logprobsV = logprobsOf(listV);
    let [error, size, claimed] = [0, 0, 0];
    for (const [token, dV] of logprobsV) {
      const dP = logprobsP.get(token);
      if (dP === undefined) continue;
      error += (dP - dV) ** 2;
      size += dV ** 2;
      claimed += dP ** 2;
      shift += dP - dV;
      squares += dV ** 2;
      pairs += 1;
    }
    error += excessOf(logprobsP, logprobsV) + excessOf(logprobsV, logprobsP);
    const isMissing = lacks(listP, listV) || lacks(listV, listP);
    errors.push(Math.max(isMissing ? 1 : 0, relative(Math.sqrt(error), Math.sqrt(size))));
    ratios.push(ratio(Math.sqrt(claimed), Math.sqrt(size)));
  });
  const bias = pairs === 0 ? FARTHEST : relative(Math.abs(shift / pairs), Math.sqrt(squares / pairs));
  return summary(errors, ratios, bias);
}

/** Rows of output that a reveal shows: all of the span, or at the head those whose logits were asked for. */
export function rowCount({ start, end, output }: Reveal, kind: OutputKind): number {
  return kind.kind === 'hidden' ? end - start : output.length / logitsRowBytes(Math.min(TOP_K, kind.vocabularySize));
}

/** The candidates of the logits rows that a reveal shows. Throws `bad-message` where they are malformed. */
export function candidatesOf({ output }: Reveal, vocabularySize: number): Candidates[] {
  const candidates = Math.min(TOP_K, vocabularySize);
  const count = output.length / logitsRowBytes(candidates);
  if (!Number.isInteger(count)) throw new ChorusError('bad-message', 'not a whole number of logits rows');
  return splitRows(output, count).map((row) => readCandidates(row, vocabularySize, candidates));
}

/** The natural logarithm of the model's probability of each candidate. */
function logprobsOf({ tokens, logits, logSumExp }: Candidates): Map<number, number> {
  return new Map(Array.from(tokens, (token, i) => [token, logits[i]! - logSumExp]));
}

/** The tokens of `list` that `other` does not name: the sum of squares of how far each lies above the last that it names. */
function excessOf(list: ReadonlyMap<number, number>, other: ReadonlyMap<number, number>): number {
  const last = [...other.values()].at(-1)!;
  return [...list].reduce((sum, [token, d]) => (other.has(token) ? sum : sum + Math.max(0, d - last) ** 2), 0);
}

/** True if a token of the first half of `list` is nowhere in `other`. */
function lacks(list: Candidates, other: Candidates): boolean {
  const half = list.tokens.subarray(0, Math.ceil(list.tokens.length / 2));
  const known = new Set(other.tokens);
  return half.some((token) => !known.has(token));
}

function summary(errors: number[], ratios: number[], bias: number): Closeness {
  return {
    median: quantile(errors, 0.5),
    p95: quantile(errors, 0.95),
    max: quantile(errors, 1),
    bias,
    norm: quantile(ratios, 0.5),
    tokenGap: 0,
  };
}

function relative(error: number, size: number): number {
  return error === 0 ? 0 : bounded(error / size);
}

function ratio(claimed: number, size: number): number {
  return claimed === size && Number.isFinite(size) ? 1 : bounded(claimed / size);
}

/** Not-a-number comes from infinities, and from nothing compared with nothing. */
function bounded(value: number): number {
  return Number.isNaN(value) ? FARTHEST : Math.min(FARTHEST, value);
}
