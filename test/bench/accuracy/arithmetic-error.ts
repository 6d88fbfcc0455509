import { quantile } from '#shared/judge/statistics.ts';
import { short } from '../calibrate/tables.ts';
import { runInDoubles } from './double-plan.ts';
import type { PlannedModel, PlannedStage } from './planned-model.ts';
import { runSplit, splitRanges, type SplitModel } from './split-model.ts';

type Values = Float32Array | Float64Array;

/** What an arithmetic does to rows of a whole model, beside double precision. */
export class ArithmeticError {
  readonly #hidden: number[][] = [];
  readonly #logits: number[] = [];
  #largest = 0;
  #kept = 0;
  #nll: number[] = [];

  add(truth: Rows, rows: Rows, tokens: Uint32Array): void {
    const count = tokens.length;
    truth.hidden.forEach((values, i) => {
      (this.#hidden[i] ??= []).push(...relativeDifferences(rows.hidden[i]!, values, count));
    });
    this.#logits.push(...relativeDifferences(rows.logits, truth.logits, count));
    const width = truth.logits.length / count;
    for (let row = 0; row < count; row++) {
      const [own, other] = [rows, truth].map(({ logits }) => logits.subarray(row * width, (row + 1) * width));
      for (let i = 0; i < width; i++) this.#largest = Math.max(this.#largest, Math.abs(own![i]! - other![i]!));
      if (indexOfLargest(own!) === indexOfLargest(other!)) this.#kept += 1;
      if (row + 1 < count) this.#nll.push(negativeLogLikelihood(own!, tokens[row + 1]!));
    }
  }

  cells(): string[] {
    const median = (values: readonly number[]): string => short(quantile(values, 0.5));
    return [
      this.#hidden.map(median).join(' / '),
      `${median(this.#logits)} / ${short(quantile(this.#logits, 0.99))}`,
      short(this.#largest),
      `${this.#kept} of ${this.#logits.length}`,
      (this.#nll.reduce((sum, value) => sum + value, 0) / this.#nll.length).toFixed(5),
    ];
  }
}

interface Rows {
  readonly hidden: readonly Values[];
  readonly logits: Values;
}

/** A whole model in double precision, from parts as `splitRanges` has them. */
export function doublesOf(model: PlannedModel, marks: readonly number[]): (tokens: Uint32Array) => Rows {
  const stages: readonly PlannedStage[] = splitRanges(marks).map((range) => model.plan(range));
  return (tokens) => {
    const made: Float64Array[] = [];
    for (const stage of stages) made.push(runInDoubles(stage, made.at(-1) ?? tokens, tokens.length));
    return { hidden: made.slice(0, -1), logits: made.at(-1)! };
  };
}

/** The lines of the table: every arithmetic over all sequences. */
export async function arithmeticRows(
  doubles: (tokens: Uint32Array) => Rows,
  arithmetics: Readonly<Record<string, SplitModel>>,
  sequences: readonly Uint32Array[],
  say: (what: string) => void,
): Promise<string[][]> {
  const exact = new ArithmeticError();
  const errors = Object.entries(arithmetics).map(([name, model]) => ({ name, model, error: new ArithmeticError() }));
  for (const [i, tokens] of sequences.entries()) {
    const truth = doubles(tokens);
    exact.add(truth, truth, tokens);
    for (const { model, error } of errors) error.add(truth, await runSplit(model, tokens), tokens);
    say(`${i + 1} of ${sequences.length} sequences`);
  }
  return [['double precision', ...exact.cells()], ...errors.map(({ name, error }) => [name, ...error.cells()])];
}

function relativeDifferences(own: Values, truth: Values, count: number): number[] {
  const width = truth.length / count;
  return Array.from({ length: count }, (_, row) => {
    let [difference, size] = [0, 0];
    for (let i = row * width; i < (row + 1) * width; i++) {
      difference += (own[i]! - truth[i]!) ** 2;
      size += truth[i]! ** 2;
    }
    return Math.sqrt(difference / size);
  });
}

function indexOfLargest(values: Values): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function negativeLogLikelihood(logits: Values, token: number): number {
  const largest = logits[indexOfLargest(logits)]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum) - logits[token]!;
}
