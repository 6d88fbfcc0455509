import type { PeerId } from '#shared/ids.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

type Model = Pick<NetworkSnapshot['models'][number], 'digest' | 'coverage' | 'servable'>;
type Volunteer = Pick<NetworkSnapshot['volunteers'][number], 'id' | 'state' | 'model' | 'range'>;

/** True if the network can answer this page: as far as is known, and without what the page's own tab lends, which serves others only. */
export function isServableFor(model: Model, volunteers: readonly Volunteer[], own: PeerId | null): boolean {
  if (!model.servable) return false;
  const lent = volunteers.find(({ id, state }) => id === own && state === 'ready');
  if (lent === undefined || lent.model !== model.digest || lent.range === null) return true;
  const { range } = lent;
  const { embedding, layers, head } = model.coverage;
  const others = [
    embedding - Number(range.embedding),
    ...layers.map((count, layer) => count - Number(layer >= range.start && layer < range.end)),
    head - Number(range.head),
  ];
  return others.every((count) => count > 0);
}
