import type { Outcome, StageCheck } from './finding.ts';

/** The one of the two that is wrong; `unknown` where nobody could tell. */
export type WrongParty = 'nobody' | 'shadow' | 'primary' | 'both' | 'unknown';

/** A third replica's result, compared with each of the two. */
export interface ThirdFinding {
  readonly by: NonNullable<StageCheck['arbiter']>;
  readonly primary: Outcome;
  readonly shadow: Outcome;
}

/**
 * The one that is wrong where a primary and a shadow came out as `outcome`, by what third replicas found. A referee counts
 * more than an arbiter, for its bits depend on no device.
 */
export function decide(
  outcome: Outcome,
  thirds: readonly ThirdFinding[],
): { wrong: WrongParty; by: StageCheck['arbiter'] } {
  for (const role of ['referee', 'arbiter'] as const) {
    const third = thirds.find(({ by }) => by.role === role);
    const wrong = third === undefined ? 'unknown' : wrongOf(outcome, third);
    if (third !== undefined && wrong !== 'unknown') return { wrong, by: third.by };
  }
  return { wrong: 'unknown', by: null };
}

/** A doubt alone makes nobody wrong: at least one of the comparisons must have come out as rejected. */
function wrongOf(outcome: Outcome, { by, primary, shadow }: ThirdFinding): WrongParty {
  const isReferee = by.role === 'referee';
  const isRejected = outcome === 'rejected';
  if (primary === 'agreed') {
    if (shadow === 'agreed' || (!isRejected && !isReferee)) return 'nobody';
    return isRejected || shadow === 'rejected' ? 'shadow' : 'nobody';
  }
  if (shadow === 'agreed') return isRejected || primary === 'rejected' ? 'primary' : 'unknown';
  if (!isReferee || primary !== 'rejected') return 'unknown';
  return shadow === 'rejected' ? 'both' : 'primary';
}
