import type { RandomBytes } from '#shared/clock.ts';

/** A number in [0, 1), each of 2³² as likely as the others. */
export function chanceOf(random: RandomBytes): number {
  return uint32Of(random) / 2 ** 32;
}

/** 32 random bits. */
export function uint32Of(random: RandomBytes): number {
  return new DataView(random(4).buffer).getUint32(0);
}
