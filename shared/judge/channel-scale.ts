import { fromBase64 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { Manifest } from '../model/manifest.ts';
import { readF32 } from './sketch.ts';

/** The divisor of each channel in sketches of this model's rows. Throws `bad-manifest` where the manifest holds no such scale. */
export function channelScale(manifest: Manifest): Float32Array<ArrayBuffer> {
  const refuse = () =>
    new ChorusError('bad-manifest', 'probe.channelScale is not one positive number for each channel');
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = fromBase64(manifest.probe.channelScale);
  } catch {
    throw refuse();
  }
  if (bytes.length !== 4 * manifest.config.hiddenSize) throw refuse();
  const scale = readF32(bytes);
  if (!scale.every((value) => Number.isFinite(value) && value > 0)) throw refuse();
  return scale;
}
