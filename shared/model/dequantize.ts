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
  const [rowStep, columnStep] = transposed ? [1, rows] : [columns, 1];
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = row * blocks + block;
      const scale = scales[at]!;
      const zero = typeof zeroPoints === 'number' ? zeroPoints : zeroPoints[at]!;
      const end = Math.min(columns, (block + 1) * blockSize);
      for (let column = block * blockSize; column < end; column++) {
        const quant = bits === 8 ? quants[row * rowBytes + column]! : nibble(quants, row * rowBytes * 2 + column);
        const half = 1 << (bits - 1);
        const value = signed ? (quant ^ half) - half : quant;
        values[row * rowStep + column * columnStep] = (value - zero) * scale;
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
