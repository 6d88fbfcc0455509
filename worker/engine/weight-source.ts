import type { TensorProto } from 'onnx-buf';
import { readRange, type ReadableBlobs } from '#shared/blobs/read-blobs.ts';
import type { Clock } from '#shared/clock.ts';
import type { Digest } from '#shared/ids.ts';
import type { CutStage } from '#shared/model/cut.ts';
import type { ReadWeight } from '#shared/model/quantized-weights.ts';

/** A blob up to this size is read whole, and held until its last weight was taken. */
const HELD_BYTES = 32 * 1024 * 1024;

/** Bytes of weights, each asked for once, in the order in which the engine takes them. */
export interface WeightSource {
  /** The first of all: what will be asked for. */
  expect(tensors: readonly TensorProto[]): void;
  /** Bytes [start, end) of a weight, or all of them. They hold until the next call. */
  read(tensor: TensorProto, start?: number, end?: number): Promise<Uint8Array>;
}

/** Weights that lie in memory. */
export function weightsInMemory(read: ReadWeight): WeightSource {
  return {
    expect: () => undefined,
    read: async (tensor, start = 0, end = Infinity) => read(tensor).subarray(start, end),
  };
}

/** Weights of a stage, read out of blobs while it is loaded: of small blobs one at a time is held, of large ones none. `onRead` is called with each read. Throws as `readBlobs`. */
export function weightsInBlobs(
  { place }: Pick<CutStage, 'place'>,
  stored: ReadableBlobs,
  clock: Pick<Clock, 'setTimer'>,
  onRead: () => void,
): WeightSource {
  const held = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const waiting = new Map<Digest, number>();
  return {
    expect(tensors) {
      for (const tensor of tensors) {
        const placed = place(tensor);
        if (placed instanceof Uint8Array) continue;
        waiting.set(placed.blob.digest, (waiting.get(placed.blob.digest) ?? 0) + 1);
      }
    },
    async read(tensor, start = 0, end = Infinity) {
      const placed = place(tensor);
      if (placed instanceof Uint8Array) return placed.subarray(start, end);
      onRead();
      const { blob, offset, bytes } = placed;
      const [from, to] = [offset + start, offset + Math.min(end, bytes)];
      if (blob.bytes > HELD_BYTES) return readRange(blob, stored, [from, to], clock);
      const whole = held.get(blob.digest) ?? (await readRange(blob, stored, [0, blob.bytes], clock));
      const left = (waiting.get(blob.digest) ?? 1) - (end >= bytes ? 1 : 0);
      waiting.set(blob.digest, left);
      if (left > 0) held.set(blob.digest, whole);
      else held.delete(blob.digest);
      return whole.subarray(from, to);
    },
  };
}
