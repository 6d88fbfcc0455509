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

/** The parts that networks have in the stages, the server's own anchors aside. */
export class NetworkShares {
  readonly #hasOneNetwork: boolean;
  readonly #byPlace = new Map<string, Map<string, number>>();

  /** `hands` are all volunteers, and the one that is to be placed among them. */
  constructor(hands: readonly Neighbour[]) {
    this.#hasOneNetwork = haveOneNetwork(hands);
    for (const { isAnchor, network, placed } of hands) {
      if (isAnchor || placed === null) continue;
      const key = keyOf(placed);
      const counts = this.#byPlace.get(key) ?? new Map<string, number>();
      counts.set(network, (counts.get(network) ?? 0) + 1);
      this.#byPlace.set(key, counts);
    }
  }

  /**
   * True if this one of the volunteers may be at this stage: its network then has no more than half of those there, or only this
   * one. Where all volunteers are of one network the rule rests.
   */
  admits({ isAnchor, network, placed }: Neighbour, place: Place): boolean {
    if (isAnchor || this.#hasOneNetwork) return true;
    const counts = this.#byPlace.get(keyOf(place)) ?? new Map<string, number>();
    const joins = placed !== null && keyOf(placed) === keyOf(place) ? 0 : 1;
    const own = (counts.get(network) ?? 0) + joins;
    const all = [...counts.values()].reduce((sum, count) => sum + count, joins);
    return own <= 1 || 2 * own <= all;
  }
}

function keyOf({ model, span }: Place): string {
  return `${model} ${span.start}-${span.end}`;
}
