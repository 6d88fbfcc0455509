import { BLOCK_COLUMNS as BLOCK } from '#shared/model/engine/plan.ts';
import { EngineMemory } from '../../worker/engine/engine-memory.ts';
import { loadEngineModule } from '../../worker/engine/engine-module.ts';
import type { PackedMatrix } from '../../worker/engine/packed-matrix.ts';

let compiled: Promise<WebAssembly.Module> | null = null;

export function engineModule(): Promise<WebAssembly.Module> {
  compiled ??= loadEngineModule();
  return compiled;
}

/** Rows of activations as `quantize` leaves them in the engine's memory. */
export interface QuantizedRows {
  readonly quants: number;
  readonly scales: number;
  readonly sums: number;
  readonly rows: number;
  readonly blocks: number;
}

/** The engine's functions with arrays for pointers. What is placed stays until the stand goes. */
export class EngineStand {
  readonly memory: EngineMemory;

  constructor(memory: EngineMemory) {
    this.memory = memory;
  }

  static async open(): Promise<EngineStand> {
    return new EngineStand(await EngineMemory.open(await engineModule()));
  }

  floats(values: Float32Array): number {
    const at = this.memory.allocate(values.byteLength);
    this.memory.floats(at, values.length).set(values);
    return at;
  }

  words(values: ArrayLike<number>): number {
    const at = this.memory.allocate(4 * values.length);
    this.memory.words(at, values.length).set(values);
    return at;
  }

  /** Room for floats, filled with what must not be left in it. */
  room(count: number): number {
    return this.floats(new Float32Array(count).fill(-12345));
  }

  read(at: number, count: number): Float32Array<ArrayBuffer> {
    return this.memory.floats(at, count).slice();
  }

  /** All weights of a matrix, row after row. */
  unfold({ at, rows, columns, scratchBytes }: PackedMatrix): Float32Array<ArrayBuffer> {
    const scratch = this.memory.allocate(scratchBytes);
    const to = this.room(rows * columns);
    const ids = this.words(Array.from({ length: rows }, (_, i) => i));
    this.memory.functions.unfold(at, ids, to, columns, rows, scratch);
    return this.read(to, rows * columns);
  }

  quantize(values: Float32Array, rows: number): QuantizedRows {
    const columns = values.length / rows;
    const blocks = columns / BLOCK;
    const [quants, scales, sums] = [2 * columns, 4 * blocks, 8 * blocks].map((bytes) =>
      this.memory.allocate(rows * bytes),
    ) as [number, number, number];
    this.memory.functions.quantize(this.floats(values), columns, quants, scales, sums, rows, blocks);
    return { quants, scales, sums, rows, blocks };
  }

  /** What quantized rows stand for, in the order of their columns. */
  rounded({ quants, scales, rows, blocks }: QuantizedRows): Float64Array {
    const values = new Float64Array(rows * blocks * BLOCK);
    const integers = new Int16Array(this.memory.bytes(quants, 2 * values.length).slice().buffer);
    const steps = this.read(scales, rows * blocks);
    for (let i = 0; i < values.length; i++) {
      const [block, column] = [Math.floor(i / BLOCK), i % BLOCK];
      values[i] = integers[block * BLOCK + 8 * (column & 3) + (column >> 2)]! * steps[block]!;
    }
    return values;
  }

  /** y = x · wᵀ, the rows of y one after the other. */
  multiply(matrix: PackedMatrix, { quants, scales, sums, rows }: QuantizedRows): Float32Array<ArrayBuffer> {
    const scratch = this.memory.allocate(matrix.scratchBytes);
    const y = this.room(rows * matrix.rows);
    this.memory.functions.multiply(matrix.at, quants, scales, sums, y, matrix.rows, rows, scratch);
    return this.read(y, rows * matrix.rows);
  }
}

/** The bits of floats, for comparing NaN and zeros too. */
export function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
