import type { Manifest, Part } from '#shared/model/manifest.ts';
import type { TracedModel } from './tracer.ts';

/** Models with other weights than the manifest says, in its own layout: what a volunteer may compute with instead. */

/** Every layer with the weights of the one after it (the last with those of the one before). */
export function withNeighbourWeights(model: TracedModel): TracedModel {
  const { layers } = model.manifest.config;
  const digests = new Map<string, string>();
  for (let layer = 0; layer < layers; layer++) {
    const other = layer + 1 < layers ? layer + 1 : layer - 1;
    const [own, taken] = [partOf(model.manifest, `layer.${layer}`), partOf(model.manifest, `layer.${other}`)];
    const isSame = own.weights.every(
      ({ offset, bytes }, i) => taken.weights[i]?.offset === offset && taken.weights[i].bytes === bytes,
    );
    if (!isSame) throw new Error(`layers ${layer} and ${other} lie differently in their blobs`);
    digests.set(own.blob.digest, taken.blob.digest);
  }
  return {
    name: `${model.name} neighbour`,
    manifest: model.manifest,
    blob: (digest) => model.blob(digests.get(digest) ?? digest),
  };
}

/** Four-bit weights rounded to the eight levels -8, -6, ..., 6 of the same scale, as three bits would hold them. */
export function withThreeBits(model: TracedModel): TracedModel {
  const round = (nibble: number): number => Math.min(14, 2 * Math.round(nibble / 2));
  return changed(model, '3-bit', (bytes, { type, name }) => {
    if (type !== 'uint8' || !/_Q4$/i.test(name)) return;
    bytes.forEach((byte, i) => (bytes[i] = round(byte & 15) | (round(byte >>> 4) << 4)));
  });
}

/**
 * Float weights of which the model's own may be the eight-bit rounding (blocks of 32 inputs, the largest weight at 127):
 * each moved at random within its rounding. It stands for float weights where only quantized ones are published.
 */
export function withUnroundedWeights(model: TracedModel): TracedModel {
  return changed(model, 'unrounded', (bytes, { type, dims }, part) => {
    const [inputs = 0, outputs = 0] = dims;
    if (type !== 'float32' || dims.length !== 2 || !part.name.startsWith('layer.')) return;
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    let state = 1;
    for (let output = 0; output < outputs; output++) {
      for (let block = 0; block < inputs; block += 32) {
        const places = Array.from({ length: Math.min(32, inputs - block) }, (_, i) => (block + i) * outputs + output);
        const step = Math.max(...places.map((place) => Math.abs(values[place]!))) / 127;
        for (const place of places) {
          state = (state * 48_271) % 2_147_483_647;
          values[place]! += step * (state / 2_147_483_647 - 0.5);
        }
      }
    }
  });
}

function partOf(manifest: Manifest, name: string): Part {
  const part = manifest.parts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new Error(`no part ${name}`);
  return part;
}

/** `change` rewrites the bytes of each weight in place, in a copy. */
function changed(
  model: TracedModel,
  label: string,
  change: (bytes: Uint8Array<ArrayBuffer>, weight: Part['weights'][number], part: Part) => void,
): TracedModel {
  const parts = new Map(model.manifest.parts.map((part) => [part.blob.digest as string, part]));
  const kept = new Map<string, Uint8Array<ArrayBuffer>>();
  let changes = 0;
  const blob = (digest: string): Uint8Array<ArrayBuffer> => {
    const part = parts.get(digest);
    const known = kept.get(digest);
    if (known !== undefined || part === undefined) return known ?? model.blob(digest);
    const bytes = model.blob(digest).slice();
    for (const weight of part.weights) {
      const view = bytes.subarray(weight.offset, weight.offset + weight.bytes);
      const before = view.slice();
      change(view, weight, part);
      if (before.some((byte, i) => byte !== view[i])) changes++;
    }
    if (changes === 0 && part.name.startsWith('layer.')) throw new Error(`no weight of ${part.name} was changed`);
    kept.set(digest, bytes);
    return bytes;
  };
  return { name: `${model.name} ${label}`, manifest: model.manifest, blob };
}
