import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8 } from '../bytes.ts';

const NUMBER_BYTES = 4;

/** Numbers that follow from a seed alone, the same for everybody who has it. */
export class SeededNumbers {
  readonly #seed: Uint8Array;
  #block = new DataView(new ArrayBuffer(0));
  #used = 0;
  #blocks = 0;

  /** `label` says what the numbers are for, so that no two uses of one seed share any. */
  constructor(seed: Uint8Array, label: string) {
    this.#seed = sha256(concatBytes(seed, utf8(label)));
  }

  /** A number in [0, 1), one of 2^32. */
  uniform(): number {
    if (this.#used === this.#block.byteLength) {
      const { buffer, byteOffset, byteLength } = sha256(concatBytes(this.#seed, utf8(` ${this.#blocks}`)));
      this.#block = new DataView(buffer, byteOffset, byteLength);
      this.#blocks += 1;
      this.#used = 0;
    }
    const number = this.#block.getUint32(this.#used);
    this.#used += NUMBER_BYTES;
    return number / 2 ** 32;
  }

  /** 0 to count - 1, each once, in an order by chance (Fisher and Yates), worked out as far as it is asked for. */
  *shuffled(count: number): Generator<number, void, undefined> {
    const moved = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const j = i + Math.floor(this.uniform() * (count - i));
      yield moved.get(j) ?? j;
      moved.set(j, moved.get(i) ?? i);
    }
  }
}
