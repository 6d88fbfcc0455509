import { stageParts } from '#shared/model/cut.ts';
import type { Manifest, Weight } from '#shared/model/manifest.ts';
import { rangeOf, type UnitSpan } from './stage-grid.ts';

export type BackendName = 'webgpu' | 'wasm';

/** Bytes of a weight once it is unfolded to f32 for the inference runtime. Packed weights are 4-bit pairs or bytes. */
function unpackedBytes(weight: Weight, quantization: Manifest['pins']['quantization']): number {
  if (weight.type === 'float16') return weight.bytes * 2;
  if (weight.type !== 'uint8' && weight.type !== 'int8') return weight.bytes;
  return weight.bytes * (quantization === 'q8' ? 4 : 8);
}

/** The most that the CPU engine's packing adds to the bytes of a file. */
const PACKED = 1.1;

/**
 * Bytes a device must lend to run a stage: its weights and the KV of `slots` sessions as long as the model allows, which
 * is the most that its worker lets in. On a processor the weights are there twice for a moment, as the file and as what was
 * made of it: packed by the engine, or unfolded to f32 where it does not know the model's graph.
 */
export function stageMemoryBytes(
  manifest: Manifest,
  span: UnitSpan,
  backend: BackendName,
  slots: number,
  isPlanned: boolean,
): number {
  const { config, pins } = manifest;
  const range = rangeOf(span, config.layers);
  const parts = stageParts(manifest, range);
  const fileBytes = parts.reduce((sum, part) => sum + part.blob.bytes, 0);
  const unfoldedBytes = () =>
    parts.flatMap((part) => part.weights).reduce((sum, weight) => sum + unpackedBytes(weight, pins.quantization), 0);
  const weightBytes =
    backend === 'webgpu' ? fileBytes : isPlanned ? Math.ceil((1 + PACKED) * fileBytes) : 2 * unfoldedBytes();
  const valueBytes = pins.kv === 'float16' && backend === 'webgpu' ? 2 : 4;
  const kvBytes = 2 * (range.end - range.start) * config.kvHeads * config.headSize * config.maxPositions * valueBytes;
  return weightBytes + slots * kvBytes;
}

/**
 * The cost of running each unit of the model, for cutting it evenly: its bytes, since every token reads all of them. The
 * embedding is only looked up, so however large its table is, it counts as one layer at most.
 */
export function unitCosts(manifest: Manifest): number[] {
  const { layers } = manifest.config;
  const costs = Array.from({ length: layers + 2 }, (_, unit) => {
    const parts = stageParts(manifest, rangeOf({ start: unit, end: unit + 1 }, layers));
    return parts.reduce((sum, part) => sum + (part.name === 'common' ? 0 : part.blob.bytes), 0);
  });
  return [Math.min(costs[0]!, costs[1]!), ...costs.slice(1)];
}
