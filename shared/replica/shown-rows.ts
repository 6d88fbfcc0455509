import { concatBytes } from '../bytes.ts';
import { channelScale } from '../judge/channel-scale.ts';
import { rowValues, sketchRows } from '../judge/sketch.ts';
import type { LoadedRange } from './admission.ts';

/** Shows rows under a seed, as a replica reveals them. */
export type Show = (
  rows: readonly Uint8Array<ArrayBuffer>[],
  side: 'input' | 'output',
  seed: Uint8Array<ArrayBuffer>,
) => Uint8Array<ArrayBuffer>;

/**
 * How a stage shows its rows: hidden ones as sketches, f32 [n, SKETCH_SIZE]; tokens not at all, since everybody has
 * their chain; logits whole. Throws `bad-manifest` if the model has no channel scale, at the first sketch.
 */
export function showRows({ range, manifest }: LoadedRange): Show {
  const { config, pins } = manifest;
  let scale: Float32Array<ArrayBuffer> | null = null;
  return (rows, side, seed) => {
    if (side === 'input' && range.embedding) return new Uint8Array();
    if (side === 'output' && range.head) return concatBytes(...rows);
    scale ??= channelScale(manifest);
    return sketchRows(rowValues(concatBytes(...rows), pins.boundary), config.hiddenSize, scale, seed);
  };
}
