import type { Outcome, StageCheck } from './finding.ts';

/** The one of the two that is wrong; `unknown` where nobody could tell. */
export type WrongParty = 'nobody' | 'shadow' | 'primary' | 'both' | 'unknown';

/** A third replica's result, compared with each of the two. */
export interface ThirdFinding {
  readonly by: NonNullable<StageCheck['arbiter']>;
  /** False for an arbiter of a new key, or of a class that nobody compared with that of either party: its nearness says nothing. */
  readonly mayDecide: boolean;
  readonly primary: Outcome;
  readonly shadow: Outcome;
}

/** A primary and a shadow that came out as `outcome`; `mustMatch` where they had no room for any difference. */
export interface Difference {
  readonly outcome: Outcome;
  readonly mustMatch: boolean;
}

/**
 * The one that is wrong of a primary and a shadow that differ, by what third replicas found. A referee counts more than an
 * arbiter, for its bits depend on no device.
 */
export function decide(
  difference: Difference,
  thirds: readonly ThirdFinding[],
): { wrong: WrongParty; by: StageCheck['arbiter'] } {
  for (const role of ['referee', 'arbiter'] as const) {
    const third = thirds.find(({ by, mayDecide }) => by.role === role && mayDecide);
    const wrong = third === undefined ? 'unknown' : wrongOf(difference, third);
    if (third !== undefined && wrong !== 'unknown') return { wrong, by: third.by };
  }
  return { wrong: 'unknown', by: null };
}

/** A doubt alone makes nobody wrong: at least one of the comparisons must have come out as rejected. */
function wrongOf({ outcome, mustMatch }: Difference, { by, primary, shadow }: ThirdFinding): WrongParty {
  const isReferee = by.role === 'referee';
  const isRejected = outcome === 'rejected';
  // One of the two lied. A third whose class allows some distance clears neither by being near to it, unless it is far from the other.
  if (mustMatch && primary !== 'rejected' && shadow !== 'rejected') return 'unknown';
  if (primary === 'agreed') {
    if (shadow === 'agreed' || (!isRejected && !isReferee)) return 'nobody';
    return isRejected || shadow === 'rejected' ? 'shadow' : 'nobody';
  }
  if (shadow === 'agreed') return isRejected || primary === 'rejected' ? 'primary' : 'unknown';
  if (!isReferee || primary !== 'rejected') return 'unknown';
  return shadow === 'rejected' ? 'both' : 'primary';
}
