import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

/** What a model does now, in few words. */
export function describeActivity({
  servable,
  activity,
}: Pick<NetworkSnapshot['models'][number], 'servable' | 'activity'>): string {
  if (servable) return 'can answer now';
  if (activity === 'loading') return 'is being loaded';
  return activity === 'asleep' ? 'asleep until it is asked for' : 'cannot answer now';
}
