import { stageParts } from '#shared/model/cut.ts';
import { kvRoom } from '#shared/route/kv-room.ts';
import type { Manifest, Weight } from '#shared/model/manifest.ts';
import { rangeOf, type UnitSpan } from './stage-grid.ts';

export type BackendName = 'webgpu' | 'wasm';

/** The parts of a manifest that say what its stages need. */
export type SizedManifest = Pick<Manifest, 'name' | 'config' | 'pins' | 'minStages' | 'parts'>;

const MIB = 1024 * 1024;

/**
 * Bytes that a volunteer's thread takes whatever its stage, with what loading it leaves behind (test/bench/loading): of the
 * engine, and of the inference runtime. Nobody has measured the latter on a real graphics device.
 */
const THREAD_BYTES = { engine: 48 * MIB, runtime: 96 * MIB };
/** Rows that the engine takes through a stage together. */
const BATCH_ROWS = 32;

/** Bytes of a weight once it is unfolded to f32 for the inference runtime. Packed weights are 4-bit pairs or bytes. */
function unpackedBytes(weight: Weight, quantization: Manifest['pins']['quantization']): number {
  if (weight.type === 'float16') return weight.bytes * 2;
  if (weight.type !== 'uint8' && weight.type !== 'int8') return weight.bytes;
  return weight.bytes * (quantization === 'q8' ? 4 : 8);
}

/** What a stage takes of a device. */
export interface StageNeed {
  /** As long as the stage is held. */
  readonly weights: number;
  /** Keys and values of the sessions that it has room for. */
  readonly kv: number;
  /** The thread and its runtime. */
  readonly thread: number;
}

/**
 * Bytes of a stage by what they are for, as they were measured. The engine holds weights as packed as their file, a tied
 * table once, and rows of logits; loading brings them in a window at a time, so that they are never there twice. On a processor
 * where the engine does not know the model's graph they are unfolded to f32, and there twice for a moment.
 */
export function stageNeed(
  manifest: SizedManifest,
  span: UnitSpan,
  backend: BackendName,
  slots: number,
  isPlanned: boolean,
): StageNeed {
  const { config, pins } = manifest;
  const range = rangeOf(span, config.layers);
  const parts = stageParts(manifest, range);
  const fileBytes = parts.reduce((sum, part) => sum + part.blob.bytes, 0);
  const rowBytes = 4 * BATCH_ROWS * (range.head ? config.vocabularySize : 0);
  const unfoldedBytes = () =>
    parts.flatMap((part) => part.weights).reduce((sum, weight) => sum + unpackedBytes(weight, pins.quantization), 0);
  const isEngine = backend === 'wasm' && isPlanned;
  const valueBytes = pins.kv === 'float16' && backend === 'webgpu' ? 2 : 4;
  const positionBytes = 2 * (range.end - range.start) * config.kvHeads * config.headSize * valueBytes;
  return {
    weights: isEngine ? fileBytes + rowBytes : backend === 'webgpu' ? fileBytes : 2 * unfoldedBytes(),
    kv: kvRoom(config.maxPositions, slots) * positionBytes,
    thread: isEngine ? THREAD_BYTES.engine : THREAD_BYTES.runtime,
  };
}

/** Bytes a device must lend to run a stage. */
export function stageMemoryBytes(...stage: Parameters<typeof stageNeed>): number {
  const { weights, kv, thread } = stageNeed(...stage);
  return weights + kv + thread;
}

/** Time of a product of two numbers, by how the weight is stored: plain ones take the engine about four times as long as packed ones. */
const PLAIN_COST = 4;

/**
 * The cost of running each unit of the model, for cutting it evenly: the time of its products, about as the engine takes it. Of
 * the embedding one row is looked up for each token, which costs next to nothing.
 */
export function unitCosts(manifest: SizedManifest): number[] {
  const { layers } = manifest.config;
  const costs = Array.from({ length: layers + 2 }, (_, unit) => {
    const parts = stageParts(manifest, rangeOf({ start: unit, end: unit + 1 }, layers));
    const weights = parts.filter(({ name }) => name !== 'common').flatMap((part) => part.weights);
    return weights.reduce((sum, weight) => sum + productsOf(weight, manifest), 0);
  });
  return [Math.min(costs[0]!, costs[1]!) / 8, ...costs.slice(1)];
}

/** What the products of one row with a weight cost. Scales and zero points take part in those of their quants. */
function productsOf({ type, bytes, dims, name }: Weight, { pins }: SizedManifest): number {
  if (type === 'uint8' || type === 'int8') return bytes * (pins.quantization === 'q8' ? 1 : 2);
  if (type === 'uint4' || type === 'int4') return bytes * 2;
  if (type !== 'float32' && type !== 'float16') return 0;
  if (pins.blockSize > 0 && /scale|zero/.test(name)) return 0;
  return PLAIN_COST * dims.reduce((all, dim) => all * dim, 1);
}
