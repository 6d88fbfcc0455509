import type { TensorProto } from 'onnx-buf';
import {
  BLOCK_COLUMNS,
  matrixKey,
  NotPlanned,
  type BinaryOperation,
  type Constant,
  type MatrixSource,
  type Plan,
  type Rotary,
  type Slot,
  type Step,
  type UnaryOperation,
  type View,
} from '#shared/model/engine/plan.ts';
import { ggufMatrix } from '#shared/model/gguf-matrix.ts';
import type { PackableMatrix } from '#shared/model/packable-matrix.ts';
import { toFloat32, type ReadWeight } from '#shared/model/quantized-weights.ts';
import { ONNX_FLOAT16, tensorDims } from '#shared/model/tensor-bytes.ts';
import type { EngineMemory } from './engine-memory.ts';
import type { LayerStore, StoredSession } from './layer-store.ts';
import { packableWeight, packMatrix, type PackedMatrix } from './packed-matrix.ts';
import { BATCH_ROWS, type SlotPlaces } from './slot-places.ts';

/** In the order of c/rows.c. */
const BINARY: readonly BinaryOperation[] = ['add', 'subtract', 'multiply', 'divide'];
const UNARY: readonly UnaryOperation[] = ['sigmoid', 'silu', 'tanh', 'gelu', 'geluTanh', 'quickGelu', 'relu'];

export interface StepSurroundings {
  readonly places: SlotPlaces;
  readonly read: ReadWeight;
  readonly store: LayerStore;
  /** Words for each row of a batch. */
  readonly tokensAt: number;
  readonly identityAt: number;
  readonly wantedAt: number;
  readonly positionsAt: number;
  readonly capacitiesAt: number;
}

export interface CompiledSteps {
  /** Runs all steps for `rows` rows of one session, and those of the head for `wanted` of them. */
  run(session: StoredSession, rows: number, wanted: number): void;
  /** Positions that the angles of all rotary embeddings reach. */
  readonly maxPositions: number;
}

type Run = (session: StoredSession, rows: number) => void;
type PlacedMatrix =
  | { readonly kind: 'packed'; readonly matrix: PackedMatrix }
  | {
      readonly kind: 'plain';
      readonly at: number;
      readonly isHalf: boolean;
      readonly rows: number;
      readonly columns: number;
    };

/** Packs all weights that a plan names and makes each step a call of the engine. */
export function compileSteps(memory: EngineMemory, plan: Plan, surroundings: StepSurroundings): CompiledSteps {
  const compiler = new Compiler(memory, surroundings);
  const steps = plan.steps.map((step) => ({ isWanted: step.to.isWanted, run: compiler.compile(step) }));
  compiler.finish();
  return {
    maxPositions: compiler.maxPositions,
    run(session, rows, wanted) {
      for (const step of steps) {
        const count = step.isWanted ? wanted : rows;
        if (count > 0) step.run(session, count);
      }
    },
  };
}

class Compiler {
  readonly #memory: EngineMemory;
  readonly #around: Omit<StepSurroundings, 'read'>;
  /** Until all weights are packed; steps must not hold the file's bytes for as long as they live. */
  #read: ReadWeight;
  readonly #matrices = new Map<string, PlacedMatrix>();
  /** By tensor and count, for a Constant node's tensor may have any name. */
  readonly #vectors = new Map<TensorProto, Map<number, number>>();
  /** Of the rows that were quantized last, so that products of the same rows share them. */
  #quantized: View | null = null;
  #largest = { columns: 0, scratchBytes: 0 };
  #quantsAt = 0;
  #scalesAt = 0;
  #sumsAt = 0;
  #scratchAt = 0;
  maxPositions = Infinity;

  constructor(memory: EngineMemory, { read, ...around }: StepSurroundings) {
    this.#memory = memory;
    this.#around = around;
    this.#read = read;
  }

  /** Room for what all products share, once the largest is known. */
  finish(): void {
    const { columns, scratchBytes } = this.#largest;
    const blocks = Math.ceil(columns / BLOCK_COLUMNS);
    this.#quantsAt = this.#memory.allocate(2 * BATCH_ROWS * blocks * BLOCK_COLUMNS);
    this.#scalesAt = this.#memory.allocate(4 * BATCH_ROWS * blocks);
    this.#sumsAt = this.#memory.allocate(8 * BATCH_ROWS * blocks);
    this.#scratchAt = this.#memory.allocate(scratchBytes);
    this.#read = () => {
      throw new TypeError('all weights are packed');
    };
  }

  compile(step: Step): Run {
    const { functions } = this.#memory;
    const to = this.#around.places.at(step.to);
    const toStride = this.#stride(step.to);
    const { tokensAt, identityAt, wantedAt } = this.#around;
    switch (step.type) {
      case 'gather': {
        const table = this.#place(step.table);
        if (table.kind === 'packed') {
          const { at } = table.matrix;
          return (_, rows) => functions.unfold(at, tokensAt, to, toStride, rows, this.#scratchAt);
        }
        return (_, rows) =>
          functions.gather_plain(table.at, Number(table.isHalf), table.columns, tokensAt, to, toStride, rows);
      }
      case 'product':
        return this.#product(this.#place(step.matrix), step.from, to, toStride);
      case 'norm': {
        const { from, size, epsilon } = step;
        const gamma = this.#vector(step.gamma, size);
        const [at, stride] = [this.#at(from), this.#stride(from.slot)];
        return (_, rows) => functions.rms_norm(at, stride, gamma, to, toStride, rows, from.width / size, size, epsilon);
      }
      case 'binary': {
        const { left, right } = step;
        const isRows = 'slot' in right;
        const [other, otherStride] = isRows
          ? [this.#at(right), this.#stride(right.slot)]
          : [this.#vector(right, left.width), 0];
        const [at, stride] = [this.#at(left), this.#stride(left.slot)];
        const operation = BINARY.indexOf(step.operation);
        return (_, rows) => functions.binary(operation, at, stride, other, otherStride, to, toStride, rows, left.width);
      }
      case 'unary': {
        const [at, stride] = [this.#at(step.from), this.#stride(step.from.slot)];
        const operation = UNARY.indexOf(step.operation);
        return (_, rows) => functions.unary(operation, at, stride, to, toStride, rows, step.from.width);
      }
      case 'select': {
        const [at, stride] = [this.#at(step.from), this.#stride(step.from.slot)];
        return (_, rows) => functions.select_rows(at, stride, wantedAt, to, toStride, rows, step.from.width);
      }
      case 'rotate': {
        const [at, stride] = [this.#at(step.from), this.#stride(step.from.slot)];
        const rotate = this.#rotation(step.rotary, step.heads, step.from.width / step.heads);
        return (_, rows) => {
          functions.select_rows(at, stride, identityAt, to, toStride, rows, step.from.width);
          rotate(to, toStride, rows);
        };
      }
      case 'attention':
        return this.#attention(step, to, toStride);
    }
  }

  #product(matrix: PlacedMatrix, from: View, to: number, toStride: number): Run {
    const { functions } = this.#memory;
    const [at, stride] = [this.#at(from), this.#stride(from.slot)];
    if (matrix.kind === 'plain') {
      const { isHalf, rows: outputs, columns } = matrix;
      return (_, rows) =>
        functions.multiply_plain(matrix.at, Number(isHalf), outputs, columns, at, stride, to, toStride, rows);
    }
    const { at: matrixAt, blocks } = matrix.matrix;
    const isQuantized =
      this.#quantized?.slot === from.slot &&
      this.#quantized.offset === from.offset &&
      this.#quantized.width === from.width;
    this.#quantized = from;
    return (_, rows) => {
      const [quants, scales, sums] = [this.#quantsAt, this.#scalesAt, this.#sumsAt];
      if (!isQuantized) functions.quantize(at, stride, quants, scales, sums, rows, blocks);
      functions.multiply(matrixAt, quants, scales, sums, to, toStride, rows, this.#scratchAt);
    };
  }

  #attention(step: Extract<Step, { type: 'attention' }>, to: number, toStride: number): Run {
    const { functions } = this.#memory;
    const { store, positionsAt, capacitiesAt } = this.#around;
    const { query, key, value, heads, kvHeads, headSize, scale, softcap, layer } = step;
    const [q, k, v] = [query, key, value].map((view) => [this.#at(view), this.#stride(view.slot)] as const) as [
      readonly [number, number],
      readonly [number, number],
      readonly [number, number],
    ];
    const turn = step.rotary === null ? null : this.#rotation(step.rotary, heads, headSize);
    const turnKeys = step.rotary === null ? null : this.#rotation(step.rotary, kvHeads, headSize);
    return (session, rows) => {
      turn?.(...q, rows);
      turnKeys?.(...k, rows);
      store.point(session, layer, rows);
      const { keysAt, valuesAt } = store;
      functions.append(...k, keysAt, positionsAt, rows, kvHeads, headSize, capacitiesAt);
      functions.append(...v, valuesAt, positionsAt, rows, kvHeads, headSize, capacitiesAt);
      functions.attend(
        ...q,
        keysAt,
        valuesAt,
        positionsAt,
        capacitiesAt,
        to,
        toStride,
        rows,
        heads,
        kvHeads,
        headSize,
        scale,
        softcap,
        store.scoresAt(),
      );
    };
  }

  #rotation(
    { cosines, sines, isInterleaved }: Rotary,
    heads: number,
    headSize: number,
  ): (at: number, stride: number, rows: number) => void {
    const { functions } = this.#memory;
    const [positions = 0, angles = 0] = tensorDims(cosines);
    this.maxPositions = Math.min(this.maxPositions, positions);
    const [cosine, sine] = [
      this.#vector({ tensor: cosines }, positions * angles),
      this.#vector({ tensor: sines }, positions * angles),
    ];
    const { positionsAt } = this.#around;
    return (at, stride, rows) =>
      functions.rotate(at, stride, cosine, sine, positionsAt, rows, heads, headSize, 2 * angles, Number(isInterleaved));
  }

  #place(source: MatrixSource): PlacedMatrix {
    const key = matrixKey(source);
    const placed = this.#matrices.get(key) ?? this.#placeNew(source);
    this.#matrices.set(key, placed);
    return placed;
  }

  #placeNew(source: MatrixSource): PlacedMatrix {
    if (source.kind === 'plain') return this.#placePlain(source.tensor, source.isTurned);
    const packable = this.#packable(source);
    if (packable === null) throw new NotPlanned(null, 'zero points that are not whole numbers');
    const matrix = packMatrix(this.#memory, packable);
    this.#largest = {
      columns: Math.max(this.#largest.columns, matrix.columns),
      scratchBytes: Math.max(this.#largest.scratchBytes, matrix.scratchBytes),
    };
    return { kind: 'packed', matrix };
  }

  #packable(source: Exclude<MatrixSource, { kind: 'plain' }>): PackableMatrix | null {
    if (source.kind === 'quantized') return packableWeight(source.weight, this.#read);
    const { type, tensor, rows, columns } = source.weight;
    return ggufMatrix(type, this.#read(tensor), rows, columns);
  }

  /** Halves stay halves. */
  #placePlain(tensor: TensorProto, isTurned: boolean): PlacedMatrix {
    const read = this.#read;
    const [first = 0, second = 0] = tensorDims(tensor);
    const isHalf = tensor.dataType === ONNX_FLOAT16;
    const values = isHalf ? new Uint16Array(new Uint8Array(read(tensor)).buffer) : toFloat32(tensor, read);
    const [rows, columns] = isTurned ? [second, first] : [first, second];
    const byRows = isTurned ? turned(values, first, second) : values;
    const at = this.#memory.allocate(byRows.byteLength);
    this.#memory.bytes(at, byRows.byteLength).set(new Uint8Array(byRows.buffer, byRows.byteOffset, byRows.byteLength));
    return { kind: 'plain', at, isHalf, rows, columns };
  }

  /** `count` floats of a constant; one number stands for all. */
  #vector({ tensor }: Constant, count: number): number {
    const ofTensor = this.#vectors.get(tensor) ?? new Map<number, number>();
    const known = ofTensor.get(count);
    if (known !== undefined) return known;
    const values = toFloat32(tensor, this.#read);
    const at = this.#memory.allocate(4 * count);
    const to = this.#memory.floats(at, count);
    if (values.length === 1) to.fill(values[0]!);
    else to.set(values);
    this.#vectors.set(tensor, ofTensor.set(count, at));
    return at;
  }

  #at({ slot, offset }: View): number {
    return this.#around.places.at(slot) + 4 * offset;
  }

  #stride(slot: Slot): number {
    return this.#around.places.stride(slot);
  }
}

/** [rows, columns] as [columns, rows]. */
function turned<T extends Float32Array | Uint16Array>(values: T, rows: number, columns: number): T {
  const result = new (values.constructor as new (length: number) => T)(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}
