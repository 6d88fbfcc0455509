import type { RandomBytes } from '#shared/clock.ts';

/** Of which 53 bits count. */
const LOT_BYTES = 8;
const LOTS_AT_ONCE = 64;

/** Chance, from bytes that nobody can foresee. */
export class Draw {
  readonly #random: RandomBytes;
  /** Random bytes, and how many of them have been used. */
  #bytes = new DataView(new ArrayBuffer(0));
  #used = 0;

  constructor(random: RandomBytes) {
    this.#random = random;
  }

  /** A number in [0, 1), each of its 2^53 values as likely as any other. */
  uniform(): number {
    if (this.#used === this.#bytes.byteLength) {
      const { buffer, byteOffset, byteLength } = this.#random(LOT_BYTES * LOTS_AT_ONCE);
      this.#bytes = new DataView(buffer, byteOffset, byteLength);
      this.#used = 0;
    }
    const [high, low] = [this.#bytes.getUint32(this.#used), this.#bytes.getUint32(this.#used + 4)];
    this.#used += LOT_BYTES;
    return ((high & 0x1f_ffff) * 2 ** 32 + low) / 2 ** 53;
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** One of several, by weights that are not all zero. */
  weighted<Item>(items: readonly Item[], weightOf: (item: Item) => number): Item {
    let left = this.uniform() * items.reduce((sum, item) => sum + weightOf(item), 0);
    return items.find((item) => (left -= weightOf(item)) < 0) ?? items.at(-1)!;
  }

  /**
   * A lot for each, below 1: who has the lowest was drawn. An address prefix has one chance, however many its members are, and
   * these share it; for keys cost nothing and networks do.
   */
  lots<Item extends { readonly prefix: string }>(items: Iterable<Item>): Map<Item, number> {
    const ofPrefix = new Map<string, number>();
    const lots = new Map<Item, number>();
    for (const item of items) {
      const { prefix } = item;
      const lot = ofPrefix.get(prefix) ?? this.uniform();
      ofPrefix.set(prefix, lot);
      lots.set(item, lot * (1 - WITHIN_PREFIX) + this.uniform() * WITHIN_PREFIX);
    }
    return lots;
  }
}

/** The part of a lot that decides among the members of one prefix only. */
const WITHIN_PREFIX = 2 ** -24;
