import { equalBytes } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { channelScale } from '../judge/channel-scale.ts';
import { closenessOf, rowCount, type OutputKind } from '../judge/closeness.ts';
import { mustMatch, outcomeOf } from '../judge/judge.ts';
import { dependsOnRuns } from '../judge/numeric-class.ts';
import { checkReveal } from '../judge/reveal-form.ts';
import { readF32, rowValues, sketchRows } from '../judge/sketch.ts';
import type { Testimony, Reveal } from '../judge/statement.ts';
import { norm } from '../judge/statistics.ts';
import { convictionLimits, thresholdFor, type ModelSize } from '../judge/thresholds.ts';
import { SKETCH_SIZE, TOP_K } from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import type { StageRange } from '../model/stage.ts';
import { logitsRowBytes } from '../rows/logits-row.ts';
import { foldRows, foldTail, splitRows } from '../rows/row-chain.ts';

/** A stage's update has at least this share of its input's size; one layer of an honest model adds ten times as much. */
const LEAST_UPDATE = 1 / 64;

/** A testimony with the layers it is about. */
export interface Suspect extends Testimony {
  readonly range: StageRange;
}

/**
 * The fault of the accused's computation, seen from a referee that ran the same layers over the same rows and is
 * believed. Throws `bad-message` if their testimonies do not show a fault.
 */
export function computationFault(
  accused: Suspect,
  referee: Suspect,
  manifest: Manifest,
): 'sketch-mismatch' | 'not-finite' | 'disagreement' {
  const [mine, theirs] = [accused.commit.statement, referee.commit.statement];
  const [shown, right] = [accused.reveal.statement, referee.reveal.statement];
  if (mine.start !== theirs.start || mine.end !== theirs.end) throw nothing('the chunks differ');
  if (!equalBytes(mine.inputTo, theirs.inputTo)) throw nothing('the inputs differ');
  if (!equalBytes(shown.seed, right.seed)) throw nothing('the seeds differ');
  if (checkReveal(right, referee.range, manifest.config, null) !== null) throw nothing('the referee shows no numbers');
  const form = checkReveal(shown, accused.range, manifest.config, null);
  if (form === 'reveal-malformed') throw nothing('the reveal of the accused is malformed');
  // On rows that are no numbers honest devices differ too.
  if (!readF32(right.input).every(Number.isFinite)) throw nothing('the input is no numbers');
  if (!equalBytes(shown.input, right.input)) return 'sketch-mismatch';
  return accused.range.head
    ? logitsFault(accused, referee, manifest, form)
    : hiddenFault(accused, referee, manifest, form);
}

function hiddenFault(accused: Suspect, referee: Suspect, { config }: Manifest, form: 'not-finite' | null) {
  const areOutputsEqual = equalBytes(accused.commit.statement.outputTo, referee.commit.statement.outputTo);
  const areSketchesEqual = equalBytes(accused.reveal.statement.output, referee.reveal.statement.output);
  if (areOutputsEqual && areSketchesEqual) throw nothing('the outputs are equal');
  if (areOutputsEqual) return 'sketch-mismatch';
  if (mustMatch(accused, referee)) return form ?? 'disagreement';
  if (!areUpdated(referee.reveal.statement)) throw nothing('rounding the input outweighs what was computed');
  if (form !== null) return form;
  return disagreement(accused, referee, { kind: 'hidden' }, config);
}

/**
 * False where some row is so large against what the stage adds to it that its rounding alone may set honest devices apart:
 * whoever feeds a stage could choose such rows to have it suspended.
 */
function areUpdated({ input, output, start, end }: Reveal): boolean {
  if (input.length === 0) return true;
  const [before, after] = [readF32(input), readF32(output)];
  const update = after.map((value, i) => value - before[i]!);
  const sizeOf = (values: Float32Array, row: number) =>
    norm(values.subarray(row * SKETCH_SIZE, (row + 1) * SKETCH_SIZE));
  const rows = Array.from({ length: end - start }, (_, row) => row);
  return rows.every((row) => sizeOf(update, row) >= LEAST_UPDATE * sizeOf(before, row));
}

/**
 * Output chains at the head also tell which logits were asked for, which the reporter chose, and which may have been others
 * with the referee. So only rows count that both committed to for the same positions, the last of the span.
 */
function logitsFault(accused: Suspect, referee: Suspect, manifest: Manifest, form: 'not-finite' | null) {
  const output = { kind: 'logits', vocabularySize: manifest.config.vocabularySize, sampled: null } as const;
  const [mine, theirs] = [accused.reveal.statement.output, referee.reveal.statement.output];
  if (mine.length !== theirs.length) throw nothing('other logits were asked for');
  if (!isCommittedTail(accused, output) || !isCommittedTail(referee, output)) {
    throw nothing('the logits are not the last ones of the chunk');
  }
  if (equalBytes(mine, theirs)) throw nothing('the logits are equal');
  if (form !== null) return form;
  // The runtime's runs that gave different numbers of logits may differ in their bits; only their output chains tell, not those of runs.
  const [from, rightFrom] = [accused.commit.statement.outputFrom, referee.commit.statement.outputFrom];
  const areRowsEnough = !dependsOnRuns(referee.numericClass) || equalBytes(from, rightFrom);
  if (mustMatch(accused, referee) && areRowsEnough) return 'disagreement';
  return disagreement(accused, referee, output, manifest.config);
}

function isCommittedTail({ commit: { statement }, reveal }: Suspect, output: OutputKind): boolean {
  const rows = splitRows(reveal.statement.output, rowCount(reveal.statement, output));
  const folded = foldTail(statement.outputFrom, statement.end - statement.start, rows);
  return equalBytes(folded, statement.outputTo);
}

function disagreement(accused: Suspect, referee: Suspect, output: OutputKind, size: ModelSize): 'disagreement' {
  const threshold = convictionLimits(thresholdFor(accused.numericClass, referee.numericClass, output.kind, size));
  const closeness = closenessOf(accused.reveal.statement, referee.reveal.statement, output);
  if (outcomeOf(closeness, threshold, rowCount(referee.reveal.statement, output)) === 'rejected') return 'disagreement';
  throw nothing('the outputs are not far enough apart');
}

/**
 * `sketch-mismatch` if the accused revealed something else than `rows`, which it committed to as its rows of the span on
 * that side. Throws `bad-message` otherwise.
 */
export function sketchFault(
  accused: Suspect,
  manifest: Manifest,
  side: 'input' | 'output',
  rows: Uint8Array<ArrayBuffer>,
): 'sketch-mismatch' {
  const { hiddenSize, vocabularySize } = manifest.config;
  const { boundary } = manifest.pins;
  const { start, end, inputFrom, inputTo, outputFrom, outputTo } = accused.commit.statement;
  const { seed, input, output } = accused.reveal.statement;
  if (side === 'input' && accused.range.embedding) throw nothing('tokens have no sketch');
  const areLogits = side === 'output' && accused.range.head;
  const rowBytes = areLogits
    ? logitsRowBytes(Math.min(TOP_K, vocabularySize))
    : hiddenSize * (boundary === 'f16' ? 2 : 4);
  const count = rows.length / rowBytes;
  if (areLogits ? !Number.isInteger(count) || count > end - start : count !== end - start) {
    throw nothing('the rows are not those of the chunk');
  }
  const [from, to, revealed] = side === 'input' ? [inputFrom, inputTo, input] : [outputFrom, outputTo, output];
  const split = splitRows(rows, count);
  const folded = areLogits ? foldTail(from, end - start, split) : foldRows(from, split);
  if (!equalBytes(folded, to)) throw nothing('the accused did not commit to these rows');
  const right = areLogits ? rows : sketchRows(rowValues(rows, boundary), hiddenSize, channelScale(manifest), seed);
  if (equalBytes(right, revealed)) throw nothing('the sketch is that of the rows');
  return 'sketch-mismatch';
}

function nothing(reason: string): ChorusError {
  return new ChorusError('bad-message', `the proof shows no fault: ${reason}`);
}
