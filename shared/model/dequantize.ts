/** A matrix of `rows` × `columns`, quantized along each row in blocks of `blockSize` (the last one may be padded). */
export interface BlockMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
  /** `rowBytes` bytes a row; for 4 bits the lower half of a byte comes first. */
  readonly quants: Uint8Array;
  readonly rowBytes: number;
  /** Two's complement instead of unsigned. */
  readonly signed: boolean;
  /** rows × blocks. */
  readonly scales: Float32Array;
  /** rows × blocks, or one value for all. */
  readonly zeroPoints: Uint8Array | Float32Array | number;
}

/**
 * (quant - zero point) × scale, rounded once to f32, row-major: [rows, columns], or [columns, rows] if `transposed`.
 * The caller has checked that the arrays have the lengths that the sizes ask for.
 */
export function dequantize(matrix: BlockMatrix, transposed: boolean): Float32Array<ArrayBuffer> {
  const { rows, columns, bits, blockSize, quants, rowBytes, signed, scales, zeroPoints } = matrix;
  const blocks = Math.ceil(columns / blockSize);
  const values = new Float32Array(rows * columns);
  const step = transposed ? rows : 1;
  const unused = 32 - bits;
  // The value of each 4-bit number in the block at hand.
  const levels = new Float32Array(16);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = row * blocks + block;
      const scale = scales[at]!;
      const zero = typeof zeroPoints === 'number' ? zeroPoints : zeroPoints[at]!;
      const column = block * blockSize;
      const count = Math.min(blockSize, columns - column);
      const from = row * rowBytes + (column * bits) / 8;
      let target = transposed ? column * rows + row : row * columns + column;
      if (bits === 8) {
        for (let i = 0; i < count; i++, target += step) {
          const quant = quants[from + i]!;
          values[target] = ((signed ? (quant << unused) >> unused : quant) - zero) * scale;
        }
        continue;
      }
      for (let i = 0; i < 16; i++) levels[i] = ((signed ? (i << unused) >> unused : i) - zero) * scale;
      // Rows and blocks have an even number of columns, so both begin at whole bytes.
      for (let i = 0; i < count; i += 2, target += 2 * step) {
        const byte = quants[from + (i >>> 1)]!;
        values[target] = levels[byte & 15]!;
        values[target + step] = levels[byte >>> 4]!;
      }
    }
  }
  return values;
}

/** The `index`th 4-bit number of packed bytes, lower halves first. */
function nibble(packed: Uint8Array, index: number): number {
  return (packed[index >>> 1]! >>> ((index & 1) * 4)) & 15;
}

/** Unpacks rows of `perRow` numbers of `bits` bits, each row beginning at a whole byte. */
export function unpackRows(packed: Uint8Array, bits: 4 | 8, rows: number, perRow: number): Uint8Array {
  if (bits === 8) return packed;
  const rowBytes = Math.ceil(perRow / 2);
  const values = new Uint8Array(rows * perRow);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) values[row * perRow + i] = nibble(packed, row * rowBytes * 2 + i);
  }
  return values;
}
