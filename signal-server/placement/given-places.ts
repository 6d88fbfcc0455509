import type { PeerId } from '#shared/ids.ts';
import { samePlace, type Placed } from './placement.ts';

const MAX_KEYS = 10_000;

/** The stage that each key was given last, so that a key which has no trust yet gets back what it was given and nothing else. */
export class GivenPlaces {
  readonly #byKey = new Map<PeerId, Placed>();

  note(id: PeerId, { model, span }: Placed): void {
    this.#byKey.delete(id);
    if (this.#byKey.size >= MAX_KEYS) this.#byKey.delete(this.#byKey.keys().next().value!);
    this.#byKey.set(id, { model, span });
  }

  has(id: PeerId, place: Placed): boolean {
    return samePlace(this.#byKey.get(id) ?? null, place);
  }
}
