import { createHmac } from 'node:crypto';
import { toBase64, toHex, utf8 } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import type { DrawCount } from '#shared/draw/draw-form.ts';
import { networkDigest } from '#shared/draw/roster.ts';

const DAY_MS = 24 * 60 * 60_000;

/** Digests that stand for address prefixes. They are the same as long as the server runs, and tell no prefix. */
export class NetworkNames {
  readonly #secret: Uint8Array;

  constructor(random: RandomBytes) {
    this.#secret = random(32);
  }

  /** What a prefix is salted with; its members may be told. */
  saltOf(prefix: string): Uint8Array {
    return createHmac('sha256', this.#secret).update(prefix).digest();
  }

  digestOf(prefix: string): string {
    return networkDigest(this.saltOf(prefix), prefix);
  }
}

/** Numbers the requests of each network, anew each day: with yesterday's digests nobody is known today. */
export class RequestCounts {
  readonly #clock: Clock;
  readonly #random: RandomBytes;
  #day = NaN;
  #epoch = '';
  #secret: Uint8Array = new Uint8Array();
  readonly #counts = new Map<string, number>();

  constructor(clock: Clock, random: RandomBytes) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The next number of this network. */
  next(prefix: string): DrawCount {
    const day = Math.floor(this.#clock.wallMs() / DAY_MS);
    if (day !== this.#day) {
      this.#day = day;
      this.#epoch = toHex(this.#random(8));
      this.#secret = this.#random(32);
      this.#counts.clear();
    }
    const number = (this.#counts.get(prefix) ?? 0) + 1;
    this.#counts.set(prefix, number);
    const digest = sha256(Uint8Array.of(...this.#secret, ...utf8(`chorus-draw-count/1 ${prefix}`)));
    return { epoch: this.#epoch, network: toBase64(digest.slice(0, 16)), number };
  }
}
