import type { PeerId } from '#shared/ids.ts';
import type { TrustStore } from '../../signal-server/store/trust-store.ts';
import { isNewKey, witnessedSpans } from '../../signal-server/trust/standing-rule.ts';

/** The standing that a key has earned in a class, as it is now: what the network shows comes late. */
export function earnedStanding(store: Pick<TrustStore, 'earned'>, id: PeerId, numericClass: string) {
  const earned = store.earned(id, numericClass);
  return { witnessedSpans: witnessedSpans(earned), agreedSpans: earned.agreed, isNew: isNewKey(earned) };
}
