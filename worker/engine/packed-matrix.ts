import { BLOCK_COLUMNS as BLOCK } from '#shared/model/engine/plan.ts';
import { type QuantizedWeight, readMatrix, type ReadWeight } from '#shared/model/quantized-weights.ts';
import { ONNX_FLOAT16 } from '#shared/model/tensor-bytes.ts';
import type { PackableMatrix } from '#shared/model/packable-matrix.ts';
import type { EngineMemory } from './engine-memory.ts';

const TILE_ROWS = 4;
/** Words of the struct `Matrix` in c/matrix.h, in its order. */
const MATRIX_WORDS = 14;

const ScaleKind = { f32: 0, f16: 1, super: 2 } as const;
const OffsetKind = { constant: 0, u8: 1, minimumF32: 2, minimumF16: 3, minimumSuper: 4 } as const;

/** A matrix in the engine's memory. */
export interface PackedMatrix {
  readonly at: number;
  readonly rows: number;
  readonly columns: number;
  readonly blocks: number;
  /** Bytes of scratch that a product with it needs. */
  readonly scratchBytes: number;
}

/** Rows of quants at hand, from `firstRow` on. */
export interface QuantWindow {
  readonly bytes: Uint8Array;
  readonly firstRow: number;
}

/**
 * The weight of an ONNX node as the engine packs it; null where its zero points are not whole numbers. With `window` the
 * quants are those that it has when their rows are packed.
 */
export function packableWeight(
  weight: QuantizedWeight,
  read: ReadWeight,
  window: (() => QuantWindow) | null = null,
): PackableMatrix | null {
  const matrix = readMatrix(weight, read);
  const { rows, columns, bits, quants, rowBytes, signed, zeroPoints } = matrix;
  const centre = signed ? 1 << (bits - 1) : 0;
  const zeros = typeof zeroPoints === 'number' ? zeroPoints + centre : Array.from(zeroPoints, (zero) => zero + centre);
  const isWhole = (zero: number) => Number.isInteger(zero) && zero >= 0 && zero <= 255;
  if (typeof zeros === 'number' ? !isWhole(zeros) : !zeros.every(isWhole)) return null;
  return {
    rows,
    columns,
    bits,
    groupColumns: weight.blockSize,
    quants(row, to) {
      const { bytes, firstRow } = window?.() ?? { bytes: quants, firstRow: 0 };
      const from = (row - firstRow) * rowBytes;
      if (bits === 8) for (let i = 0; i < columns; i++) to[i] = bytes[from + i]! ^ centre;
      else {
        for (let i = 0; i < columns; i += 2) {
          const pair = bytes[from + (i >> 1)]!;
          to[i] = (pair & 15) ^ centre;
          to[i + 1] = (pair >> 4) ^ centre;
        }
      }
    },
    scales:
      weight.scales.dataType === ONNX_FLOAT16
        ? { kind: 'f16', values: new Uint16Array(new Uint8Array(read(weight.scales)).buffer) }
        : { kind: 'f32', values: matrix.scales },
    offsets:
      typeof zeros === 'number' ? { kind: 'constant', zero: zeros } : { kind: 'u8', values: Uint8Array.from(zeros) },
  };
}

/** A matrix on its way into the engine's memory. */
export interface Packing {
  /** Packs rows [start, end); `start` is a multiple of four, and so is `end`, but for the matrix's last row. */
  pack(start: number, end: number): void;
  /** Once all rows are packed. */
  end(): PackedMatrix;
}

/** Packs a matrix into the engine's memory, where it stays. Throws as `beginPacking`. */
export function packMatrix(memory: EngineMemory, matrix: PackableMatrix): PackedMatrix {
  const packing = beginPacking(memory, matrix);
  packing.pack(0, matrix.rows);
  return packing.end();
}

/** Makes room for a matrix, and puts its scales there. Throws `out-of-memory`, RangeError where c/matrix.c has no product for it. */
export function beginPacking(memory: EngineMemory, matrix: PackableMatrix): Packing {
  checkKind(matrix);
  const { rows, columns, bits, groupColumns, scales, offsets } = matrix;
  const blocks = columns / BLOCK;
  const tiles = Math.ceil(rows / TILE_ROWS);
  const groups = Math.ceil(columns / groupColumns);
  const supers = Math.ceil(blocks / 8);
  const quantBytes = tiles * blocks * TILE_ROWS * (bits === 8 ? 32 : 16);
  const highBytes = tiles * blocks * TILE_ROWS * (bits === 5 ? 4 : bits === 6 ? 8 : 0);

  const at = memory.allocate(4 * MATRIX_WORDS);
  const quantsAt = memory.allocate(quantBytes);
  const highAt = highBytes === 0 ? 0 : memory.allocate(highBytes);
  const store = (values: Interleavable, perRow: number): number => {
    const bytes = tiles * perRow * TILE_ROWS * values.BYTES_PER_ELEMENT;
    const to = memory.allocate(bytes);
    interleave(values, memory.bytes(to, bytes), rows, perRow);
    return to;
  };
  const fields = [
    quantsAt,
    highAt,
    store(scales.values, groups),
    offsets.kind === 'constant' ? 0 : store(offsets.values, groups),
    scales.kind === 'super' ? store(scales.supers, supers) : 0,
    offsets.kind === 'minimumSuper' ? store(offsets.supers, supers) : 0,
    rows,
    blocks,
    bits,
    groupColumns === 16 ? 2 : 1,
    Math.max(0, Math.log2(groupColumns / BLOCK)),
    ScaleKind[scales.kind],
    OffsetKind[offsets.kind],
    offsets.kind === 'constant' ? offsets.zero : 0,
  ];
  memory.words(at, MATRIX_WORDS).set(fields);

  const tileBytes = TILE_ROWS * blocks * BLOCK;
  const scratch = memory.allocate(tileBytes);
  return {
    pack(start, end) {
      for (let tile = start / TILE_ROWS; tile < Math.ceil(end / TILE_ROWS); tile++) {
        const count = Math.min(TILE_ROWS, end - tile * TILE_ROWS);
        for (let row = 0; row < count; row++) {
          matrix.quants(tile * TILE_ROWS + row, memory.bytes(scratch + row * blocks * BLOCK, columns));
        }
        memory.functions.pack_tile(at, tile, scratch, count);
      }
    },
    end() {
      memory.free(scratch, tileBytes);
      return { at, rows, columns, blocks, scratchBytes: 16 * (2 * groups + 1 + 16 * blocks) };
    },
  };
}

function checkKind({ columns, bits, groupColumns, scales, offsets }: PackableMatrix): void {
  const isSuper = scales.kind === 'super' || offsets.kind === 'minimumSuper';
  const isHalves = groupColumns === 16;
  const isKnown =
    columns % BLOCK === 0 &&
    (isHalves ? bits !== 5 : bits !== 6 && groupColumns % BLOCK === 0) &&
    Number.isInteger(Math.log2(groupColumns)) &&
    (!isSuper || groupColumns <= BLOCK);
  if (!isKnown) throw new RangeError(`the engine multiplies no ${bits} bits with scales for ${groupColumns} columns`);
}

type Interleavable = Float32Array | Uint16Array | Uint8Array | Int8Array;

/** Writes [rows][perRow] as [tile][perRow][row of four], the rows beyond the last one zeros. */
function interleave(values: Interleavable, to: Uint8Array<ArrayBuffer>, rows: number, perRow: number): void {
  const Values = values.constructor as new (buffer: ArrayBuffer, at: number, length: number) => Interleavable;
  const tiled = new Values(to.buffer, to.byteOffset, to.length / values.BYTES_PER_ELEMENT);
  // Memory that was in use before holds what was there.
  tiled.fill(0);
  for (let row = 0; row < rows; row++) {
    const tile = row >> 2;
    for (let i = 0; i < perRow; i++) tiled[(tile * perRow + i) * TILE_ROWS + (row & 3)] = values[row * perRow + i]!;
  }
}
