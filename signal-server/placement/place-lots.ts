import { toHex, utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { UnitSpan } from './stage-grid.ts';

/** A stage of a model. */
interface Place {
  readonly model: Digest;
  readonly span: UnitSpan;
}

/** A volunteer, as far as its network counts. */
interface Neighbour {
  readonly id: PeerId;
  readonly network: string;
  readonly isAnchor: boolean;
  readonly placed: Place | null;
}

/** A place's lot for a volunteer: of several places that need somebody about equally, the one with the lowest is drawn. */
export type LotOf = (place: Place) => string;

/**
 * Lots that nobody can foresee, and that are the same whenever anybody of one network asks: to come back, or to bring another key,
 * draws nothing new. Where all share one network they go by the key.
 */
export function placeLots(
  secret: Uint8Array,
  { id, network }: Pick<Neighbour, 'id' | 'network'>,
  hasOneNetwork: boolean,
): LotOf {
  const whose = hasOneNetwork ? id : network;
  return ({ model, span }) => digestOf(utf8(`${toHex(secret)} ${whose} ${model} ${span.start}-${span.end}`));
}

/** True where the volunteers besides the server's own anchors are all of one network, if there are any. */
export function haveOneNetwork(hands: readonly Neighbour[]): boolean {
  return new Set(hands.filter((hand) => !hand.isAnchor).map((hand) => hand.network)).size <= 1;
}

/**
 * True if a volunteer may join others at a stage: its network then has no more than half of the volunteers there, the server's own
 * anchors aside, or only this one. Where all volunteers are of one network the rule rests.
 */
export function isWithinShare(hand: Neighbour, place: Place, others: readonly Neighbour[]): boolean {
  if (hand.isAnchor || haveOneNetwork([hand, ...others])) return true;
  const { model, span } = place;
  const there = others.filter(
    ({ isAnchor, placed }) =>
      !isAnchor && placed?.model === model && placed.span.start === span.start && placed.span.end === span.end,
  );
  const ofNetwork = there.filter(({ network }) => network === hand.network).length;
  return ofNetwork === 0 || 2 * (ofNetwork + 1) <= there.length + 1;
}
