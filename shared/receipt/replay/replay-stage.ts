import { concatBytes } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import type { SessionId } from '../../ids.ts';
import { dependsOnRuns, isExactClass } from '../../judge/numeric-class.ts';
import { CHUNK_POSITIONS } from '../../limits.ts';
import type { StageRange } from '../../model/stage.ts';
import type { StageCompute } from '../../rows/compute.ts';
import { RowChain, splitRows } from '../../rows/row-chain.ts';
import { encodeTokens } from '../../rows/rows.ts';
import type { FedRun } from '../evidence/evidence.ts';

/** A stage of the model on this machine. */
export interface ReplayStage {
  readonly compute: StageCompute;
  /** The class that it computes in: bits are compared with those of replicas of the same one, if it is exact. */
  readonly numericClass: string;
}

/** The rows of one stage by position; none where no logits were asked for. */
export type StageRows = readonly (Uint8Array<ArrayBuffer> | undefined)[];

export interface ReplayedRuns {
  readonly session: SessionId;
  /** Those of the receipt that begin before `end`. */
  readonly runs: readonly FedRun[];
  readonly end: number;
  /** For each position of the answer, whether its logits were asked for. */
  readonly wanted: readonly boolean[];
  /** Called with the positions that a run computed. */
  readonly onRun: (positions: number) => void;
  readonly signal: AbortSignal;
}

/** What goes into stage 0 of `runs`. A run may have had tokens that a cut took back: others stand for them, for no row depends on one after it. */
export function tokenRows(tokens: readonly number[], runs: readonly FedRun[]): StageRows {
  return Array.from({ length: endOf(runs) }, (_, at) => encodeTokens([tokens[at] ?? 0]));
}

/**
 * Computes a stage over its input rows: in the runs of the receipt, or, where bits do not depend on runs, a whole chunk at a
 * time, which is many times as fast. Throws what `signal` was aborted with.
 */
export async function replayStage(
  { compute, numericClass }: ReplayStage,
  range: StageRange,
  inputs: StageRows,
  answer: ReplayedRuns,
): Promise<StageRows> {
  const { session, wanted, onRun, signal } = answer;
  const isFree = isExactClass(numericClass) && !dependsOnRuns(numericClass);
  const runs = isFree ? chunkRuns(wanted, answer.end) : answer.runs;
  const outputs: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  await compute.open(session, endOf(runs));
  let end = 0;
  try {
    for (const { start, count, logits } of runs) {
      if (signal.aborted) throw new ChorusError('cancelled', 'the replay was stopped');
      if (start < end) await compute.cut(session, start);
      end = start + count;
      const kind = range.embedding ? 'tokens' : 'hidden';
      const input = { kind, start, count, bytes: joined(inputs, start, end) } as const;
      const { output } = await compute.run({ session, input, logitsFrom: end - logits });
      const first = range.head ? end - logits : start;
      const rows = splitRows(output.bytes, output.count);
      for (let at = start; at < end; at++) {
        outputs[at] = range.head && wanted[at] === false ? undefined : rows[at - first];
      }
      onRun(count);
    }
  } finally {
    await compute.close(session).catch(() => undefined);
  }
  return outputs;
}

/** How many positions a stage of this class is going to compute. */
export function positionsToRun(numericClass: string, { runs, end }: Pick<ReplayedRuns, 'runs' | 'end'>): number {
  if (isExactClass(numericClass) && !dependsOnRuns(numericClass)) return end;
  return runs.reduce((sum, { count }) => sum + count, 0);
}

/** The chain over the rows before `end`; positions of which no logits were asked have none. */
export function chainOf(rows: StageRows, end: number): RowChain {
  const chain = new RowChain();
  for (let at = 0; at < end; at++) chain.append(rows[at] ?? new Uint8Array());
  return chain;
}

function chunkRuns(wanted: readonly boolean[], end: number): FedRun[] {
  return Array.from({ length: Math.ceil(end / CHUNK_POSITIONS) }, (_, chunk) => {
    const start = chunk * CHUNK_POSITIONS;
    const count = Math.min(CHUNK_POSITIONS, end - start);
    const first = wanted.indexOf(true, start);
    return { start, count, logits: first === -1 ? 0 : Math.max(0, start + count - first) };
  });
}

function joined(rows: StageRows, start: number, end: number): Uint8Array<ArrayBuffer> {
  const taken = rows.slice(start, end);
  // A row that no stage gave stands where a cut took its token back.
  const rowBytes = taken.find((row) => row !== undefined)?.length ?? 0;
  return concatBytes(...taken.map((row) => row ?? new Uint8Array(rowBytes)));
}

function endOf(runs: readonly FedRun[]): number {
  return runs.reduce((end, { start, count }) => Math.max(end, start + count), 0);
}
