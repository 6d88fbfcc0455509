import { chunksOf, sayUnchecked } from '#shared/judge/describe-unchecked.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { readersOf } from '#shared/route/readers.ts';
import type { CheckSummary } from '#shared/requester/engine/check-summary.ts';

type End = Extract<AnswerEvent, { type: 'end' }>;

type Routed = Extract<AnswerEvent, { type: 'routed' }>;

/** How many volunteers of these routes could read what was asked, settling ones included. */
export function countReaders(
  routes: readonly Pick<Routed, 'route'>[],
  { thirds }: Pick<CheckSummary, 'thirds'>,
): number {
  return readersOf(
    routes.map(({ route }) => route),
    thirds,
  ).size;
}

/** Who could read what was asked, in one line for people. */
export function describeReaders(count: number, routes: readonly Pick<Routed, 'links'>[]): string {
  const isRelayed = routes.some(({ links }) => links.some(({ transport }) => transport === 'relay'));
  const server = isRelayed ? ', and so could the server, whose relay passed it on' : '';
  return `${count} ${count === 1 ? 'volunteer' : 'volunteers'} could read this prompt${server}`;
}

/** The checks of an answer, in one line for people. */
export function describeChecks(end: Pick<End, 'tier' | 'counts' | 'reason'>, summary: CheckSummary): string {
  const agreed = describeAgreement(summary);
  const failed = summary.faults.length === 0 ? [] : [`${summary.faults.length} failed the check`];
  return [outcome(end, summary), ...(agreed === null ? [] : [agreed]), ...failed].join(', ');
}

function outcome({ tier, counts, reason }: Pick<End, 'tier' | 'counts' | 'reason'>, summary: CheckSummary): string {
  if (tier === 'unchecked') {
    const { unchecked: spans, ranges, hasShadows } = summary;
    return sayUnchecked({ spans, counts, ranges, hasShadows, isStopped: reason === 'cancelled' });
  }
  return tier === 'checked'
    ? `checked: same result twice in ${chunksOf(counts.checked, counts)}`
    : `${tier}: ${chunksOf(counts[tier], counts)}`;
}

/** How close those came who agreed; null where nobody was compared. */
function describeAgreement({ replicas, isExact, closestCall }: CheckSummary): string | null {
  const who =
    replicas > 1 ? `${replicas} volunteers per stage agreed` : 'volunteers of a stage agreed where there were two';
  if (isExact) return `${who}, bit for bit`;
  if (closestCall === null) return null;
  const { value, limit } = closestCall;
  return `${who} within tolerance (largest difference ${short(value)} of ${short(limit)} allowed)`;
}

/** Two digits that count. */
function short(value: number): string {
  return String(Number(value.toPrecision(2)));
}
