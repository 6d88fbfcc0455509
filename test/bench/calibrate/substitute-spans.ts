import { closenessOf } from '#shared/judge/closeness.ts';
import { pairKey } from '#shared/judge/thresholds.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { outputKind, replicaRows, spanSeed, testimonyOf } from '../../support/traces/span-comparison.ts';
import { chunkPlan } from '../../support/traces/tracer.ts';
import { spansOf } from './honest-pairs.ts';
import type { AttackSpan } from './limits.ts';
import type { SubstituteTrace } from './substitutions.ts';

/** Each whole chunk of a liar against every honest shadow that was traced over it. */
export function* substituteSpans(liar: SubstituteTrace): Generator<AttackSpan> {
  const { of: session, positions, isCheaper, because } = liar;
  const { manifest, name: honest } = session.model;
  const total = session.traces[0]!.plan.reduce((sum, count) => sum + count, 0);
  const input = splitRows(session.input, total);
  const primary = replicaRows(liar.numericClass, input, liar.rows, chunkPlan(positions));
  for (const trace of session.traces.filter(({ shape }) => shape === 'chunk')) {
    const shadow = replicaRows(trace.numericClass, input, trace.rows, trace.plan);
    for (const { start, end } of spansOf(Math.min(positions, shadow.output.length), 32)) {
      const span = {
        manifest,
        range: session.range,
        start,
        end,
        seed: spanSeed(`${liar.name}:${session.session}:${start}`),
      };
      const [mine, theirs] = [testimonyOf(primary, span), testimonyOf(shadow, span)];
      const output = outputKind(session.range, manifest, mine.reveal.statement, null);
      const closeness = closenessOf(mine.reveal.statement, theirs.reveal.statement, output);
      yield {
        name: `${liar.name} instead of ${honest}`,
        pair: pairKey(liar.numericClass, trace.numericClass),
        kind: output.kind,
        isCheaper,
        because,
        closeness,
      };
    }
  }
}
