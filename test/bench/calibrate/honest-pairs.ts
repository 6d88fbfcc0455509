import { equalBytes } from '#shared/bytes.ts';
import { closenessOf, EXACT } from '#shared/judge/closeness.ts';
import type { Closeness } from '#shared/judge/finding.ts';
import { pairKey } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import {
  outputKind,
  replicaRows,
  shapesAt,
  spanSeed,
  testimonyOf,
  type ReplicaRows,
} from '../../support/traces/span-comparison.ts';
import { compareDraws, type TokenDraws } from './token-draws.ts';
import type { TracedSession } from './trace-set.ts';

/** One span of one stage as two honest devices computed it. */
export interface HonestSpan {
  readonly pair: string;
  readonly kind: 'hidden' | 'logits';
  readonly model: string;
  readonly stage: string;
  readonly start: number;
  readonly rows: number;
  /** The runs in which these positions and all before were computed were the same. */
  readonly areShapesEqual: boolean;
  /** Rows that were equal bit for bit. */
  readonly equalRows: number;
  readonly closeness: Closeness;
  /** The tokens that the two draw of it; null for hidden rows. */
  readonly draws: TokenDraws | null;
  /** Relative difference of each row by itself. */
  readonly errors: readonly number[];
}

/** Positions [start, end) of every span of `rows` positions that lies in the first `positions`. */
export function spansOf(positions: number, rows: number): { start: number; end: number }[] {
  const count = Math.floor(positions / CHUNK_POSITIONS);
  return Array.from({ length: count }, (_, i) => ({
    start: i * CHUNK_POSITIONS,
    end: i * CHUNK_POSITIONS + Math.min(rows, CHUNK_POSITIONS),
  }));
}

/** All honest comparisons of a session: any trace as the primary, a different one that ran whole spans as the shadow. */
export function* honestPairs(session: TracedSession): Generator<readonly [ReplicaRows, ReplicaRows]> {
  const positions = session.traces[0]!.plan.reduce((sum, count) => sum + count, 0);
  const input = splitRows(session.input, positions);
  const replicas = session.traces.map((trace) => ({
    shape: trace.shape,
    rows: replicaRows(trace.numericClass, input, trace.rows, trace.plan),
  }));
  for (const primary of replicas) {
    for (const shadow of replicas) {
      if (shadow.shape === 'chunk' && primary !== shadow) yield [primary.rows, shadow.rows];
    }
  }
}

export function compareSpan(
  session: TracedSession,
  [primary, shadow]: readonly [ReplicaRows, ReplicaRows],
  { start, end }: { start: number; end: number },
  seedName: string,
): HonestSpan {
  const { manifest, name } = session.model;
  const span = { manifest, range: session.range, start, end, seed: spanSeed(seedName) };
  const [mine, theirs] = [testimonyOf(primary, span), testimonyOf(shadow, span)];
  const output = outputKind(session.range, manifest, mine.reveal.statement, null);
  const isExact = equalBytes(mine.commit.statement.outputTo, theirs.commit.statement.outputTo);
  const draws =
    output.kind === 'hidden'
      ? null
      : compareDraws(mine.reveal.statement, theirs.reveal.statement, output.vocabularySize);
  const tokenGap = Math.max(0, ...Object.values(draws?.drawn ?? {}).map(({ largestGap }) => largestGap));
  const closeness = isExact
    ? EXACT
    : { ...closenessOf(mine.reveal.statement, theirs.reveal.statement, output), tokenGap };
  const equal = (row: number): boolean => equalBytes(primary.output[row]!, shadow.output[row]!);
  const rows = end - start;
  const errors = Array.from({ length: rows }, (_, i) => {
    if (isExact || equal(start + i)) return 0;
    const [one, other] = [mine, theirs].map(({ reveal: { statement } }) => {
      const slice = (bytes: Uint8Array<ArrayBuffer>) =>
        bytes.slice((i * bytes.length) / rows, ((i + 1) * bytes.length) / rows);
      const [from, to] = [start + i, start + i + 1];
      return { ...statement, start: from, end: to, input: slice(statement.input), output: slice(statement.output) };
    });
    return closenessOf(one!, other!, output).max;
  });
  return {
    pair: pairKey(primary.numericClass, shadow.numericClass),
    kind: output.kind,
    model: name,
    stage: `${session.range.start}-${session.range.end}`,
    start,
    rows,
    areShapesEqual: equalBytes(shapesAt(primary.plan, end), shapesAt(shadow.plan, end)),
    equalRows: Array.from({ length: rows }, (_, i) => equal(start + i)).filter(Boolean).length,
    closeness,
    draws,
    errors,
  };
}
