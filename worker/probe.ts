import { ChorusError } from '#shared/errors.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { StageInput } from './loaded-graph.ts';
import type { ServedStage } from './served-stage.ts';

/** The trial of a stage: input of `positions` positions from 0, and the rows that must come out, f32 row by row. */
export interface ProbeValues {
  readonly positions: number;
  readonly input: StageInput;
  readonly expected: Float32Array;
  /** Largest relative L2 difference of a row. */
  readonly tolerance: number;
}

export interface ProbeResult {
  /** Largest relative difference of a row; null where nothing was compared. */
  readonly error: number | null;
  /** Median milliseconds of a run of one position. */
  readonly decodeMs: number;
}

/**
 * Runs that between them have every shape the kernels tell apart: one position, a few, a whole chunk (where some
 * kernels change), each with and without KV before it. The last one also times single positions.
 */
const PASSES: readonly (readonly number[])[] = [
  [CHUNK_POSITIONS, 7],
  [1, CHUNK_POSITIONS],
  [2, 1, 1, 1, 1, 1, 1],
];

/**
 * Runs the stage in every shape class, which also builds what the backend builds on first use, and compares the rows
 * if `isCompared`. Throws `probe-failed` if a row is further off than the tolerance.
 */
export async function probeStage(
  stage: ServedStage,
  values: ProbeValues,
  isCompared: boolean,
  onProgress: (phase: 'warm-up' | 'probe', done: number, total: number) => void,
): Promise<ProbeResult> {
  let error = 0;
  let decodeMs = 0;
  for (const [i, pass] of PASSES.entries()) {
    onProgress('warm-up', i, PASSES.length);
    const counts = clipped(pass, values.positions);
    const { values: rows, runMs } = await stage.trace(firstRows(values.input, values.positions, counts), counts);
    decodeMs = median(runMs.filter((_, run) => counts[run] === 1 && run > 0));
    if (!isCompared) continue;
    onProgress('probe', i, PASSES.length);
    const rowLength = values.expected.length / values.positions;
    for (const { start, count } of runsOf(counts)) {
      const runError = largestRowError(rows, values.expected, rowLength, start, count);
      if (!(runError <= values.tolerance)) throw failure(runError, values.tolerance, start, count);
      error = Math.max(error, runError);
    }
  }
  return { error: isCompared ? error : null, decodeMs };
}

function failure(error: number, tolerance: number, start: number, count: number): ChorusError {
  const text = `this device computes wrongly: ${count} positions from ${start} are off by ${error.toExponential(1)}`;
  return new ChorusError('probe-failed', `${text}, ${tolerance.toExponential(1)} is allowed`, {
    error,
    tolerance,
    count,
  });
}

/**
 * The largest over rows [start, start + count) of |actual - expected| / |expected|; Infinity where it is no number. A row
 * of zeros, such as the embedding of a padding token, is off by nothing where it comes out as zeros.
 */
export function largestRowError(
  actual: Float32Array,
  expected: Float32Array,
  rowLength: number,
  start: number,
  count: number,
): number {
  let largest = 0;
  for (let row = start; row < start + count; row++) {
    let difference = 0;
    let size = 0;
    for (let i = row * rowLength; i < (row + 1) * rowLength; i++) {
      difference += ((actual[i] as number) - (expected[i] as number)) ** 2;
      size += (expected[i] as number) ** 2;
    }
    const error = difference === 0 ? 0 : Math.sqrt(difference / size);
    largest = Math.max(largest, Number.isNaN(error) ? Infinity : error);
  }
  return largest;
}

function runsOf(counts: readonly number[]): { start: number; count: number }[] {
  let start = 0;
  return counts.map((count) => ({ start: (start += count) - count, count }));
}

/** `counts` shortened so that they add up to at most `total`. */
function clipped(counts: readonly number[], total: number): number[] {
  let left = total;
  return counts
    .map((count) => {
      const taken = Math.min(count, left);
      left -= taken;
      return taken;
    })
    .filter((count) => count > 0);
}

function firstRows(input: StageInput, positions: number, counts: readonly number[]): StageInput {
  const taken = counts.reduce((sum, count) => sum + count, 0);
  return input.subarray(0, (input.length / positions) * taken);
}

/** The middle one of these. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
