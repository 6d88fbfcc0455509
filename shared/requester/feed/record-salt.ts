import type { RandomBytes } from '../../clock.ts';
import { SALT_BYTES } from '../../receipt/evidence/salted.ts';

/** The salt of the next record of a session: a third that settles a difference signs under it before the answer is whole. */
export class RecordSalt {
  readonly #random: RandomBytes;
  #salt: Uint8Array<ArrayBuffer> | null = null;

  constructor(random: RandomBytes) {
    this.#random = random;
  }

  get current(): Uint8Array<ArrayBuffer> {
    return (this.#salt ??= this.#random(SALT_BYTES));
  }

  /** The record is asked for: the next one has a salt of its own. */
  renew(): void {
    this.#salt = null;
  }
}
