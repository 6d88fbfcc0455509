import type { RandomBytes } from '#shared/clock.ts';
import { createRandom } from './synthetic-weights.ts';

/** Bytes that a seed determines. */
export function seededBytes(seed: number): RandomBytes {
  const random = createRandom(seed);
  return (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
}
