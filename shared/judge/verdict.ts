import type { Outcome, StageCheck } from './finding.ts';

/** The one of the two that is wrong; `unknown` where nobody could tell. */
export type Blame = 'nobody' | 'shadow' | 'primary' | 'both' | 'unknown';

/** A third replica's result, compared with each of the two. */
export interface Word {
  readonly by: NonNullable<StageCheck['arbiter']>;
  readonly primary: Outcome;
  readonly shadow: Outcome;
}

/**
 * The one that is wrong where a primary and a shadow came out as `outcome`, by the words of third replicas. A referee's
 * word counts more than an arbiter's, for its bits depend on no device.
 */
export function decide(outcome: Outcome, words: readonly Word[]): { wrong: Blame; by: StageCheck['arbiter'] } {
  for (const role of ['referee', 'arbiter'] as const) {
    const word = words.find(({ by }) => by.role === role);
    const wrong = word === undefined ? 'unknown' : blameOf(outcome, word);
    if (word !== undefined && wrong !== 'unknown') return { wrong, by: word.by };
  }
  return { wrong: 'unknown', by: null };
}

/** A doubt alone makes nobody wrong: at least one of the comparisons must have come out as rejected. */
function blameOf(outcome: Outcome, { by, primary, shadow }: Word): Blame {
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
