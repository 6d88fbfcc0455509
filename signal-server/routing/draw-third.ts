import type { PeerId } from '#shared/ids.ts';
import { dependsOnRuns, isExactClass, isExactPair } from '#shared/judge/numeric-class.ts';
import type { ModelSize } from '#shared/judge/thresholds.ts';
import type { Route } from '#shared/route/route.ts';
import type { LeaseRole } from '../placement/leases.ts';
import { isComparedClass, type Candidate } from './candidate.ts';
import type { Draw } from './draw.ts';

/** A difference between two replicas of a stage, and who is asked for to settle it. */
export interface Difference {
  readonly role: Exclude<LeaseRole, 'answer'>;
  readonly stage: Route['stages'][number];
  /** Whom the requester leaves out: the two that differ, and thirds before. */
  readonly exclude: ReadonlySet<PeerId>;
  /** The networks of the stage's replicas; empty where rules about networks rest. */
  readonly networks: ReadonlyMap<PeerId, string>;
  readonly size: ModelSize;
  readonly isAnchor: (id: PeerId) => boolean;
}

/**
 * The holders of a stage that could settle a difference there. An arbiter is none of the stage's replicas, of another network than
 * the two that differ, and computes as its primary does; where nobody has measured that one's class, anybody else is better.
 * A referee is an anchor of ours of an exact class, and may be a shadow of the stage: its word counts whichever part it took.
 */
export function fittingThirds(holders: readonly Candidate[], difference: Difference): Candidate[] {
  const { role, stage, networks, size, isAnchor } = difference;
  const { primary, shadows } = stage;
  const others = holders.filter(({ id }) => id !== primary.id);
  if (role === 'referee') return others.filter(({ id, numericClass }) => isAnchor(id) && isExactClass(numericClass));
  const taken = new Set(partiesOf(difference).map(({ id }) => networks.get(id)));
  const isKnown = isComparedClass(primary.numericClass, size);
  return others.filter(
    ({ id, numericClass, prefix, isMeasured }) =>
      shadows.every((shadow) => shadow.id !== id) &&
      !taken.has(prefix) &&
      (numericClass === primary.numericClass || (!isKnown && isMeasured)),
  );
}

/**
 * One of the best, by lot; undefined of none. Best is a referee of a party's own class, which tells the last bit, the engine's
 * before the runtime's, and rather none of the stage; and an arbiter with a trusted key and of a measured class, then of the
 * primary's class or an exact one.
 */
export function drawThird(free: readonly Candidate[], difference: Difference, draw: Draw): Candidate | undefined {
  const { role, stage } = difference;
  const parties = partiesOf(difference);
  const rank = ({ id, numericClass, isNew, isMeasured }: Candidate): number => {
    if (role === 'arbiter') {
      const isOther = numericClass !== stage.primary.numericClass && !isExactClass(numericClass);
      return (isNew || !isMeasured ? 2 : 0) + (isOther ? 1 : 0);
    }
    const isOfStage = stage.shadows.some((shadow) => shadow.id === id) ? 1 : 0;
    if (!parties.some((party) => isExactPair(party.numericClass, numericClass))) return 4 + isOfStage;
    return (dependsOnRuns(numericClass) ? 2 : 0) + isOfStage;
  };
  const least = Math.min(...free.map(rank));
  const lots = draw.lots(free.filter((one) => rank(one) === least));
  return [...lots].sort(([, a], [, b]) => a - b)[0]?.[0];
}

/** The two that differ, as the requester names them; its primary is always one of those that an arbiter must not be close to. */
function partiesOf({ stage: { primary, shadows }, exclude }: Difference): Route['stages'][number]['shadows'] {
  return [primary, ...shadows.filter(({ id }) => exclude.has(id))];
}
