import { ChorusError } from '#shared/errors.ts';
import type { Runtime, Tensor } from './runtime.ts';

/** Names and element type of the KV tensors of a stage, and the sizes all of them share. */
export interface KvShape {
  readonly names: readonly {
    readonly key: string;
    readonly value: string;
    readonly presentKey: string;
    readonly presentValue: string;
  }[];
  readonly type: 'float32' | 'float16';
  readonly heads: number;
  readonly headSize: number;
}

/** The keys and values of one session in the layers of one stage. */
export interface KvStore {
  /** Graph inputs that hold what is known so far. */
  past(): Record<string, Tensor>;
  /** Graph outputs to ask for: a tensor to be written into, or null where the runtime brings its own. */
  present(): Record<string, Tensor | null>;
  /** Takes over the outputs of a run that went well. */
  keep(outputs: Readonly<Record<string, Tensor>>): void;
  /** Forgets positions at `length` and after. */
  cut(length: number): void;
  release(): void;
}

/** Bytes of keys and values for `positions` positions. */
export function kvBytes(shape: KvShape, positions: number): number {
  return shape.names.length * 2 * tensorBytes(shape, positions);
}

function tensorBytes(shape: KvShape, positions: number): number {
  return shape.heads * positions * shape.headSize * (shape.type === 'float16' ? 2 : 4);
}

/**
 * KV as tensors in JavaScript memory that grow with every run. The WASM backend copies them in and out; a present
 * tensor given in advance would come back unfilled.
 */
export function createHostKv(runtime: Runtime, shape: KvShape): KvStore {
  const empty = (): Tensor => {
    const data = shape.type === 'float16' ? new Uint16Array(0) : new Float32Array(0);
    return new runtime.Tensor(shape.type, data, [1, shape.heads, 0, shape.headSize]);
  };
  const pairs = shape.names.flatMap((name) => [
    { past: name.key, present: name.presentKey },
    { past: name.value, present: name.presentValue },
  ]);
  const tensors = new Map(pairs.map(({ past }) => [past, empty()]));
  return {
    past: () => Object.fromEntries(tensors),
    present: () => Object.fromEntries(pairs.map(({ present }) => [present, null])),
    keep(outputs) {
      for (const { past, present } of pairs) tensors.set(past, outputs[present] as Tensor);
    },
    cut(length) {
      for (const [name, tensor] of tensors) tensors.set(name, firstPositions(runtime, tensor, length));
    },
    release: () => tensors.clear(),
  };
}

/** The first `length` positions of a tensor [1, heads, positions, headSize]. */
function firstPositions(runtime: Runtime, tensor: Tensor, length: number): Tensor {
  const [, heads, positions, headSize] = tensor.dims as [number, number, number, number];
  const bytes = tensorData(tensor);
  const headBytes = bytes.length / heads;
  const keptBytes = positions === 0 ? 0 : (headBytes / positions) * length;
  const kept = new Uint8Array(heads * keptBytes);
  for (let head = 0; head < heads; head++) {
    kept.set(bytes.subarray(head * headBytes, head * headBytes + keptBytes), head * keptBytes);
  }
  const data = tensor.type === 'float16' ? new Uint16Array(kept.buffer) : new Float32Array(kept.buffer);
  return new runtime.Tensor(tensor.type as 'float32' | 'float16', data, [1, heads, length, headSize]);
}

/** The bytes of a tensor in JavaScript memory; float16 data has another array class on every platform. */
export function tensorData(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const data = tensor.data as ArrayBufferView<ArrayBuffer>;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * KV as GPU buffers of a fixed capacity [1, heads, capacity, headSize]. Each is input and output of a run at once,
 * and the attention mask's length says how much of it is valid, so that nothing is copied and a cut costs nothing.
 * Throws `out-of-memory` where the device has no room: a buffer that was not made would let runs end without a result.
 */
export async function createDeviceKv(
  runtime: Runtime,
  device: GPUDevice,
  shape: KvShape,
  capacity: number,
): Promise<KvStore> {
  const size = Math.ceil(tensorBytes(shape, capacity) / 16) * 16;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffers: GPUBuffer[] = [];
  const bind = (): Tensor => {
    const buffer = device.createBuffer({ size, usage });
    buffers.push(buffer);
    const dims = [1, shape.heads, capacity, shape.headSize];
    return runtime.Tensor.fromGpuBuffer(buffer, { dataType: shape.type, dims });
  };
  const release = () => buffers.forEach((buffer) => buffer.destroy());
  const past: Record<string, Tensor> = {};
  const present: Record<string, Tensor> = {};
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  for (const name of shape.names) {
    present[name.presentKey] = past[name.key] = bind();
    present[name.presentValue] = past[name.value] = bind();
  }
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  const error = errors.find((found) => found !== null);
  if (error) {
    release();
    throw new ChorusError('out-of-memory', `the graphics device has no room for a session: ${error.message}`);
  }
  return {
    past: () => past,
    present: () => present,
    keep: () => undefined,
    cut: () => undefined,
    release,
  };
}
