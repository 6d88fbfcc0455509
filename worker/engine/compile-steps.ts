import type { TensorProto } from 'onnx-buf';
import {
  BLOCK_COLUMNS,
  matrixKey,
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
import { tensorDims } from '#shared/model/tensor-bytes.ts';
import type { EngineMemory } from './engine-memory.ts';
import type { LayerStore, StoredSession } from './layer-store.ts';
import type { PlacedMatrix, PlacedWeights } from './place-weights.ts';
import { BATCH_ROWS, type SlotPlaces } from './slot-places.ts';

/** In the order of c/rows.c. */
const BINARY: readonly BinaryOperation[] = ['add', 'subtract', 'multiply', 'divide'];
const UNARY: readonly UnaryOperation[] = ['sigmoid', 'silu', 'tanh', 'gelu', 'geluTanh', 'quickGelu', 'relu'];

export interface StepSurroundings {
  readonly places: SlotPlaces;
  readonly weights: PlacedWeights;
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

/** Makes each step of a plan a call of the engine. */
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
  readonly #around: StepSurroundings;
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

  constructor(memory: EngineMemory, around: StepSurroundings) {
    this.#memory = memory;
    this.#around = around;
  }

  /** Room for what all products share, once the largest is known. */
  finish(): void {
    const { columns, scratchBytes } = this.#largest;
    const blocks = Math.ceil(columns / BLOCK_COLUMNS);
    this.#quantsAt = this.#memory.allocate(2 * BATCH_ROWS * blocks * BLOCK_COLUMNS);
    this.#scalesAt = this.#memory.allocate(4 * BATCH_ROWS * blocks);
    this.#sumsAt = this.#memory.allocate(8 * BATCH_ROWS * blocks);
    this.#scratchAt = this.#memory.allocate(scratchBytes);
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
    const placed = this.#around.weights.matrices.get(matrixKey(source))!;
    if (placed.kind === 'packed') {
      this.#largest = {
        columns: Math.max(this.#largest.columns, placed.matrix.columns),
        scratchBytes: Math.max(this.#largest.scratchBytes, placed.matrix.scratchBytes),
      };
    }
    return placed;
  }

  /** `count` floats of a constant; one number stands for all. */
  #vector({ tensor }: Constant, count: number): number {
    const ofTensor = this.#vectors.get(tensor) ?? new Map<number, number>();
    const known = ofTensor.get(count);
    if (known !== undefined) return known;
    const values = this.#around.weights.constants.get(tensor)!;
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
