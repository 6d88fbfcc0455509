import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { TracedSession } from '../bench/calibrate/trace-set.ts';
import { joined } from '../support/traces/span-comparison.ts';
import { chunkPlan, type Tracer } from '../support/traces/tracer.ts';

/** Output rows that a liar computed for a session, of positions [from, positions). */
export interface LiarRows {
  readonly name: string;
  readonly session: TracedSession;
  readonly from: number;
  readonly rows: readonly Uint8Array<ArrayBuffer>[];
}

/** A liar that runs the real stage wrongly. */
interface ComputedLiar {
  readonly name: string;
  /** Layers it runs in place of its own; null where its stage is too short for the lie. */
  range?(range: StageRange): StageRange | null;
  /** The input that it feeds, given its own and another session's input; `from` is the first position that the lie touches. */
  readonly feed?: (own: readonly Uint8Array[], other: readonly Uint8Array[]) => readonly Uint8Array[];
  readonly from: number;
}

const computedLiars: readonly ComputedLiar[] = [
  {
    name: 'input passed through',
    range: (range) => (range.embedding ? { ...range, end: range.start } : { ...range, start: range.end }),
    from: 0,
  },
  {
    name: 'a skipped layer',
    range: (range) => (range.embedding ? { ...range, end: range.end - 1 } : { ...range, start: range.start + 1 }),
    from: 0,
  },
  {
    name: 'stale KV: first chunk of another session',
    feed: (own, other) => [...other.slice(0, CHUNK_POSITIONS), ...own.slice(CHUNK_POSITIONS)],
    from: CHUNK_POSITIONS,
  },
  {
    name: 'wrong positions: first chunk forgotten',
    feed: (own) => own.slice(CHUNK_POSITIONS),
    from: CHUNK_POSITIONS,
  },
];

/** Runs every such liar whose name matches over the sessions, which share one stage. */
export async function* runComputedLiars(
  sessions: readonly TracedSession[],
  tracer: Tracer,
  named: RegExp,
): AsyncGenerator<LiarRows> {
  const inputs = sessions.map(({ input, traces }) => splitRows(input, sum(traces[0]!.plan)));
  const [first] = sessions;
  if (first === undefined) return;
  for (const liar of computedLiars.filter(({ name }) => named.test(name))) {
    const range = liar.range === undefined ? first.range : liar.range(first.range);
    // A middle stage that runs nothing is no graph: what it passes on is what it got.
    if (range === null || (range.start === range.end && !range.embedding && !range.head)) {
      for (const [i, session] of sessions.entries()) yield { name: liar.name, session, from: 0, rows: inputs[i]! };
      continue;
    }
    const fed = inputs.map((own, i) => {
      const rows = liar.feed?.(own, inputs[(i + 1) % inputs.length]!) ?? own;
      return { input: joined(rows), plan: chunkPlan(rows.length) };
    });
    const outputs = await tracer.trace(first.model, range, fed);
    for (const [i, session] of sessions.entries()) {
      const rows = splitRows(outputs[i]!, sum(fed[i]!.plan));
      const isShort = rows.length < inputs[i]!.length;
      yield { name: liar.name, session, from: liar.from, rows: isShort ? rows : rows.slice(liar.from) };
    }
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
