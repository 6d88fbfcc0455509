import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { CheckSummary } from '#shared/requester/engine/check-summary.ts';

/** The checks of an answer, in one line for people. */
export function describeChecks(
  { tier, counts }: Pick<Extract<AnswerEvent, { type: 'end' }>, 'tier' | 'counts'>,
  { replicas, isExact, closestCall, faults }: CheckSummary,
): string {
  const chunks = counts.checked + counts.settled + counts.unchecked + counts.disputed;
  const parts = [`${chunks} ${chunks === 1 ? 'chunk' : 'chunks'}`];
  if (tier !== 'checked') {
    const named = (['settled', 'unchecked', 'disputed'] as const).filter((each) => counts[each] > 0);
    parts.push(...named.map((each) => `${counts[each]} ${each}`));
  }
  const who =
    replicas > 1 ? `${replicas} volunteers per stage agreed` : 'volunteers of a stage agreed where there were two';
  if (isExact) parts.push(`${who}, bit for bit`);
  else if (closestCall !== null) {
    const { value, limit } = closestCall;
    const difference = `largest difference ${short(value)} of ${short(limit)} allowed`;
    parts.push(`${who} within tolerance (${difference})`);
  } else parts.push('one volunteer per stage, nobody checked it');
  if (faults.length > 0) parts.push(`${faults.length} failed the check`);
  return `${tier}: ${parts.join(', ')}`;
}

/** Two digits that count. */
function short(value: number): string {
  return String(Number(value.toPrecision(2)));
}
