import {
  BLOCK_COLUMNS,
  type BinaryOperation,
  type MatrixSource,
  type Rotary,
  type Step,
  type View,
} from '#shared/model/engine/plan.ts';
import { toFloat32, type ReadWeight } from '#shared/model/quantized-weights.ts';
import { tensorDims } from '#shared/model/tensor-bytes.ts';
import type { PlannedStage } from './planned-model.ts';

/**
 * Runs a stage with float weights over a whole sequence in double precision, from rows to rows: what every other arithmetic is
 * measured against. With `bits` the rows that go into a product are rounded to so many by blocks of 32, and all else
 * stays exact. Knows the steps of the llama family.
 */
export function runInDoubles(
  { plan, read }: PlannedStage,
  input: Uint32Array | Float32Array | Float64Array,
  count: number,
  bits: number | null = null,
): Float64Array<ArrayBuffer> {
  const rows = new Map<number, Float64Array<ArrayBuffer>>();
  if (plan.input !== null) rows.set(plan.input.id, Float64Array.from(input));
  const of = ({ slot, offset, width }: View): Float64Array<ArrayBuffer> => {
    const all = rows.get(slot.id)!;
    if (width === slot.width) return all;
    const part = new Float64Array(count * width);
    for (let row = 0; row < count; row++) {
      part.set(all.subarray(row * slot.width + offset, row * slot.width + offset + width), row * width);
    }
    return part;
  };
  for (const step of plan.steps) rows.set(step.to.id, runStep(step, of, { read, bits }, input, count));
  return of(plan.output);
}

function runStep(
  step: Step,
  of: (view: View) => Float64Array<ArrayBuffer>,
  { read, bits }: { read: ReadWeight; bits: number | null },
  input: Uint32Array | Float32Array | Float64Array,
  count: number,
): Float64Array<ArrayBuffer> {
  switch (step.type) {
    case 'gather': {
      const { values, columns } = floatsOf(step.table, read);
      const rows = new Float64Array(count * columns);
      for (let row = 0; row < count; row++) {
        rows.set(values.subarray(input[row]! * columns, (input[row]! + 1) * columns), row * columns);
      }
      return rows;
    }
    case 'product':
      return product(roundedTo(of(step.from), bits), floatsOf(step.matrix, read), count);
    case 'norm':
      return norm(of(step.from), toFloat32(step.gamma.tensor, read), step.size, step.epsilon);
    case 'binary': {
      const right = 'slot' in step.right ? of(step.right) : toFloat32(step.right.tensor, read);
      return of(step.left).map((value, i) => BINARY[step.operation](value, right[i % right.length]!));
    }
    case 'unary':
      if (step.operation !== 'silu') throw new Error(`no ${step.operation} in doubles`);
      return of(step.from).map((value) => value / (1 + Math.exp(-value)));
    case 'rotate':
      return rotated(of(step.from), step.rotary, step.heads, count, read);
    case 'select':
      return of(step.from);
    case 'attention': {
      const turn = (view: View, heads: number): Float64Array<ArrayBuffer> =>
        step.rotary === null ? of(view) : rotated(of(view), step.rotary, heads, count, read);
      return attention(step, turn(step.query, step.heads), turn(step.key, step.kvHeads), of(step.value), count);
    }
  }
}

const BINARY: Readonly<Record<BinaryOperation, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
};

interface Floats {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

function floatsOf(source: MatrixSource, read: ReadWeight): Floats {
  if (source.kind !== 'plain' || source.isTurned) throw new Error('a matrix of another form');
  const [rows = 0, columns = 0] = tensorDims(source.tensor);
  return { values: toFloat32(source.tensor, read), rows, columns };
}

/** Each block of 32 in steps of its largest value's share. */
function roundedTo(rows: Float64Array<ArrayBuffer>, bits: number | null): Float64Array<ArrayBuffer> {
  if (bits === null) return rows;
  const made = new Float64Array(rows.length);
  for (let from = 0; from < rows.length; from += BLOCK_COLUMNS) {
    let largest = 0;
    for (let i = from; i < from + BLOCK_COLUMNS; i++) largest = Math.max(largest, Math.abs(rows[i]!));
    const step = largest / (2 ** (bits - 1) - 1) || 1;
    for (let i = from; i < from + BLOCK_COLUMNS; i++) made[i] = Math.round(rows[i]! / step) * step;
  }
  return made;
}

function product(x: Float64Array, { values, rows, columns }: Floats, count: number): Float64Array<ArrayBuffer> {
  const y = new Float64Array(count * rows);
  for (let output = 0; output < rows; output++) {
    const weight = output * columns;
    for (let row = 0; row < count; row++) {
      const from = row * columns;
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let i = 0; i < columns; i += 4) {
        a += x[from + i]! * values[weight + i]!;
        b += x[from + i + 1]! * values[weight + i + 1]!;
        c += x[from + i + 2]! * values[weight + i + 2]!;
        d += x[from + i + 3]! * values[weight + i + 3]!;
      }
      y[row * rows + output] = a + b + c + d;
    }
  }
  return y;
}

function norm(x: Float64Array, gamma: Float32Array, size: number, epsilon: number): Float64Array<ArrayBuffer> {
  const y = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += size) {
    let squares = 0;
    for (let i = 0; i < size; i++) squares += x[from + i]! ** 2;
    const by = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) y[from + i] = x[from + i]! * by * gamma[i]!;
  }
  return y;
}

function rotated(
  x: Float64Array,
  { cosines, sines, isInterleaved }: Rotary,
  heads: number,
  count: number,
  read: ReadWeight,
): Float64Array<ArrayBuffer> {
  const [, angles = 0] = tensorDims(cosines);
  const [cosine, sine] = [toFloat32(cosines, read), toFloat32(sines, read)];
  const y = Float64Array.from(x);
  const headSize = x.length / (count * heads);
  for (let head = 0; head < count * heads; head++) {
    const at = head * headSize;
    const angleAt = Math.floor(head / heads) * angles;
    for (let i = 0; i < angles; i++) {
      const [one, two] = isInterleaved ? [at + 2 * i, at + 2 * i + 1] : [at + i, at + angles + i];
      const [c, s] = [cosine[angleAt + i]!, sine[angleAt + i]!];
      y[one] = x[one]! * c - x[two]! * s;
      y[two] = x[two]! * c + x[one]! * s;
    }
  }
  return y;
}

/** Every position sees itself and those before it. */
function attention(
  { heads, kvHeads, headSize, scale, softcap }: Extract<Step, { type: 'attention' }>,
  query: Float64Array,
  key: Float64Array,
  value: Float64Array,
  count: number,
): Float64Array<ArrayBuffer> {
  if (softcap !== 0) throw new Error('no soft cap in doubles');
  const y = new Float64Array(count * heads * headSize);
  for (let row = 0; row < count; row++) {
    for (let head = 0; head < heads; head++) {
      const to = (row * heads + head) * headSize;
      const kvHead = Math.floor((head * kvHeads) / heads);
      const at = (position: number): number => (position * kvHeads + kvHead) * headSize;
      const scores = Array.from({ length: row + 1 }, (_, position) => {
        let sum = 0;
        for (let i = 0; i < headSize; i++) sum += query[to + i]! * key[at(position) + i]!;
        return sum * scale;
      });
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      weights.forEach((weight, position) => {
        for (let i = 0; i < headSize; i++) y[to + i]! += (weight / total) * value[at(position) + i]!;
      });
    }
  }
  return y;
}
