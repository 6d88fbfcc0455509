import type { TensorProto } from 'onnx-buf';
import {
  matrixKey,
  NotPlanned,
  type Constant,
  type MatrixSource,
  type Plan,
  type Step,
} from '#shared/model/engine/plan.ts';
import { ggufMatrix } from '#shared/model/gguf-matrix.ts';
import { toFloat32 } from '#shared/model/quantized-weights.ts';
import { ONNX_FLOAT16, tensorByteLength, tensorDims } from '#shared/model/tensor-bytes.ts';
import type { EngineMemory } from './engine-memory.ts';
import { beginPacking, packableWeight, packMatrix, type PackedMatrix } from './packed-matrix.ts';
import type { WeightSource } from './weight-source.ts';

/** Bytes of a matrix that are in JavaScript's memory at once. */
const WINDOW_BYTES = 8 * 1024 * 1024;

export type PlacedMatrix =
  | { readonly kind: 'packed'; readonly matrix: PackedMatrix }
  | {
      readonly kind: 'plain';
      readonly at: number;
      readonly isHalf: boolean;
      readonly rows: number;
      readonly columns: number;
    };

/** The weights of a plan: matrices in the engine's memory by `matrixKey`, each once, and constants as they are. */
export interface PlacedWeights {
  readonly matrices: ReadonlyMap<string, PlacedMatrix>;
  readonly constants: ReadonlyMap<TensorProto, Float32Array<ArrayBuffer>>;
}

/**
 * Brings all weights that a plan names into the engine's memory, step after step, a window of them at a time: the peak is
 * little above what stays. Throws what `weights` does, `out-of-memory`, and NotPlanned for zero points that are no whole numbers.
 */
export async function placeWeights(memory: EngineMemory, plan: Plan, weights: WeightSource): Promise<PlacedWeights> {
  const matrices = new Map<string, MatrixSource>();
  const constants = new Set<TensorProto>();
  const inOrder: (MatrixSource | TensorProto)[] = [];
  for (const step of plan.steps) {
    const matrix = matrixOf(step);
    if (matrix !== null && !matrices.has(matrixKey(matrix))) {
      matrices.set(matrixKey(matrix), matrix);
      inOrder.push(matrix);
    }
    for (const { tensor } of constantsOf(step)) {
      if (constants.has(tensor)) continue;
      constants.add(tensor);
      inOrder.push(tensor);
    }
  }
  weights.expect(inOrder.flatMap((item) => ('kind' in item ? tensorsOf(item) : [item])));
  const placed = new Map<string, PlacedMatrix>();
  const values = new Map<TensorProto, Float32Array<ArrayBuffer>>();
  for (const item of inOrder) {
    if ('kind' in item) placed.set(matrixKey(item), await placeMatrix(memory, item, weights));
    else {
      const bytes = await weights.read(item);
      values.set(
        item,
        toFloat32(item, () => bytes),
      );
    }
  }
  return { matrices: placed, constants: values };
}

function matrixOf(step: Step): MatrixSource | null {
  if (step.type === 'gather') return step.table;
  return step.type === 'product' ? step.matrix : null;
}

function constantsOf(step: Step): Constant[] {
  if (step.type === 'norm') return [step.gamma];
  if (step.type === 'binary') return 'slot' in step.right ? [] : [step.right];
  if (step.type !== 'rotate' && step.type !== 'attention') return [];
  return step.rotary === null ? [] : [{ tensor: step.rotary.cosines }, { tensor: step.rotary.sines }];
}

function tensorsOf(source: MatrixSource): TensorProto[] {
  if (source.kind === 'plain') return [source.tensor];
  if (source.kind === 'gguf') return [source.weight.tensor];
  const { scales, zeroPoints, quants } = source.weight;
  return [scales, ...(zeroPoints === null ? [] : [zeroPoints]), quants];
}

function placeMatrix(memory: EngineMemory, source: MatrixSource, weights: WeightSource): Promise<PlacedMatrix> {
  if (source.kind === 'plain') return placePlain(memory, source, weights);
  return source.kind === 'gguf' ? placeGguf(memory, source, weights) : placeQuantized(memory, source, weights);
}

/** Its scales lie among its quants, so that all of it is read at once. */
async function placeGguf(
  memory: EngineMemory,
  { weight: { tensor, type, rows, columns } }: Extract<MatrixSource, { kind: 'gguf' }>,
  weights: WeightSource,
): Promise<PlacedMatrix> {
  return { kind: 'packed', matrix: packMatrix(memory, ggufMatrix(type, await weights.read(tensor), rows, columns)) };
}

async function placeQuantized(
  memory: EngineMemory,
  { weight }: Extract<MatrixSource, { kind: 'quantized' }>,
  weights: WeightSource,
): Promise<PlacedMatrix> {
  const [scales, zeroPoints] = [weight.scales, weight.zeroPoints];
  const known = new Map<TensorProto, Uint8Array>();
  // What is held over other reads is a copy.
  for (const tensor of [scales, zeroPoints])
    if (tensor !== null) known.set(tensor, (await weights.read(tensor)).slice());
  let window: Uint8Array = new Uint8Array(0);
  let firstRow = 0;
  const packable = packableWeight(
    weight,
    (tensor) => known.get(tensor) ?? window,
    () => ({ bytes: window, firstRow }),
  );
  if (packable === null) throw new NotPlanned(null, 'zero points that are not whole numbers');
  known.clear();
  const packing = beginPacking(memory, packable);
  const total = tensorByteLength(weight.quants);
  const rowBytes = total / weight.rows;
  const step = rowsPerWindow(rowBytes);
  for (let row = 0; row < weight.rows; row += step) {
    const end = Math.min(row + step, weight.rows);
    window = await weights.read(weight.quants, row * rowBytes, end * rowBytes);
    firstRow = row;
    packing.pack(row, end);
  }
  return { kind: 'packed', matrix: packing.end() };
}

/** Halves stay halves. */
async function placePlain(
  memory: EngineMemory,
  { tensor, isTurned }: Extract<MatrixSource, { kind: 'plain' }>,
  weights: WeightSource,
): Promise<PlacedMatrix> {
  const [first = 0, second = 0] = tensorDims(tensor);
  const isHalf = tensor.dataType === ONNX_FLOAT16;
  const size = isHalf ? 2 : 4;
  const [rows, columns] = isTurned ? [second, first] : [first, second];
  const at = memory.allocate(size * rows * columns);
  const step = rowsPerWindow(size * second);
  for (let row = 0; row < first; row += step) {
    const end = Math.min(row + step, first);
    const bytes = await weights.read(tensor, size * second * row, size * second * end);
    if (isTurned) turnInto(memory.bytes(at, size * rows * columns), bytes, { first: row, second, columns, isHalf });
    else memory.bytes(at + size * second * row, bytes.length).set(bytes);
  }
  return { kind: 'plain', at, isHalf, rows, columns };
}

/** Rows are read, and packed, in fours. */
function rowsPerWindow(rowBytes: number): number {
  return Math.max(4, 4 * Math.floor(WINDOW_BYTES / rowBytes / 4));
}

/** Writes rows from `first` on, each of `second` numbers, as columns of a matrix whose rows have `columns`. */
function turnInto(
  matrix: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array,
  { first, second, columns, isHalf }: { first: number; second: number; columns: number; isHalf: boolean },
): void {
  const Numbers = isHalf ? Uint16Array : Uint32Array;
  // Numbers, whatever they are, are moved as whole words.
  const from = new Numbers(new Uint8Array(bytes).buffer);
  const to = new Numbers(matrix.buffer, matrix.byteOffset, matrix.length / Numbers.BYTES_PER_ELEMENT);
  const count = from.length / second;
  for (let column = 0; column < second; column++) {
    for (let row = 0; row < count; row++) to[column * columns + first + row] = from[row * second + column]!;
  }
}
