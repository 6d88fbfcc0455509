import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import type { StorageFault } from '../../browser/not-kept.ts';

/** What the page would keep on the device. */
export type KeptThing = 'key' | 'files' | 'settings' | 'conversations';

/** What this browser does not keep for the page, or kept badly, as the page tells it: each once a visit. */
export class DeviceStorage {
  /** Not told yet, with why each is not kept. */
  readonly lost = new SvelteMap<KeptThing, StorageFault>();
  /** Pieces of models that were found damaged or lost, not told yet. */
  damagedPieces = $state(0);

  readonly #told = new SvelteSet<KeptThing>();
  /** A storage that is denied or silent is so for everything; told of one thing, it is told of all. */
  #isToldOfAll = false;

  report(thing: KeptThing, fault: StorageFault): void {
    if (this.#isToldOfAll || this.#told.has(thing) || this.lost.has(thing)) return;
    this.lost.set(thing, fault);
  }

  reportDamage(pieces: number): void {
    this.damagedPieces += pieces;
  }

  /** The person has read what is lost. */
  dismissLost(): void {
    for (const [thing, fault] of this.lost) {
      this.#told.add(thing);
      this.#isToldOfAll ||= fault === 'denied' || fault === 'silent';
    }
    this.lost.clear();
  }

  dismissDamage(): void {
    this.damagedPieces = 0;
  }
}
