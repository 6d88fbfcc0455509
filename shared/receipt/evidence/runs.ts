import { toHex } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import { MAX_POSITIONS } from '../../limits.ts';
import { ShapeChain } from '../../rows/row-chain.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import type { FedRun } from './evidence.ts';

export type PackedRuns = ReceiptPredicate['runs'];

/** Equal runs that follow each other, as one line. */
export function packRuns(runs: readonly FedRun[]): PackedRuns {
  const packed: PackedRuns = [];
  for (const { start, count, logits } of runs) {
    const last = packed.at(-1);
    const isNext = last?.count === count && last.logits === logits && start === last.start + last.count * last.times;
    if (last !== undefined && isNext) last.times += 1;
    else packed.push({ start, count, logits, times: 1 });
  }
  return packed;
}

/**
 * The runs one by one. Throws `bad-message` if they leave a position of [0, positions) out, one takes another wholly
 * back, or one begins where nothing of it is used.
 */
export function unpackRuns(packed: PackedRuns, positions: number): FedRun[] {
  const runs: FedRun[] = [];
  let end = 0;
  for (const { start: first, count, logits, times } of packed) {
    if (logits > count) throw bad('a run wants more logits than it has positions');
    for (let i = 0; i < times; i++) {
      const start = first + i * count;
      if (start > end || start <= (runs.at(-1)?.start ?? -1)) throw bad(`no run can begin at position ${start}`);
      if (start >= positions || start + count > MAX_POSITIONS) throw bad('runs beyond the last position');
      runs.push({ start, count, logits });
      end = start + count;
    }
  }
  if (end < positions) throw bad(`the runs end at ${end}, before position ${positions}`);
  return runs;
}

/** The chain that a replica which ran these has over its runs (rows/row-chain.ts), in hexadecimal. */
export function shapeOf(runs: readonly FedRun[]): string {
  const shapes = new ShapeChain();
  for (const { start, count } of runs) shapes.append(start, count);
  return toHex(shapes.at(Infinity));
}

/** For each position of [0, positions), whether its logits were asked for. */
export function wantedLogits(runs: readonly FedRun[], positions: number): boolean[] {
  const wanted = Array.from({ length: positions }, () => false);
  for (const [i, { start, count, logits }] of runs.entries()) {
    // Positions that a cut took from this run are written by the runs after it; to write them here too would cost positions squared.
    const end = Math.min(positions, start + count, runs[i + 1]?.start ?? Infinity);
    wanted.fill(true, start + count - logits, end);
  }
  return wanted;
}

/**
 * How many tokens of the answer follow a row of which no logits were asked for: they were fed as the requester had them,
 * from another route or by its own hand. Throws `bad-message` for runs that cannot be.
 */
export function undrawnTokens({
  runs,
  positions,
  request: { tokens },
}: Pick<ReceiptPredicate, 'runs' | 'positions' | 'request'>): number {
  const wanted = wantedLogits(unpackRuns(runs, positions), positions);
  const first = tokens.prompt - 1;
  return wanted.slice(first, first + tokens.answer).filter((isWanted) => !isWanted).length;
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `the runs cannot be right: ${reason}`);
}
