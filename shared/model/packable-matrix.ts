import { decodeF16 } from './f16.ts';

/**
 * A matrix as the engine packs it: block-quantized along its rows. A weight is (quant - zero) × scale, or quant × scale +
 * minimum. `scales` and `offsets` have an entry for each group of `groupColumns` columns, row after row.
 */
export interface PackableMatrix {
  readonly rows: number;
  /** In blocks of 32. */
  readonly columns: number;
  readonly bits: 4 | 5 | 6 | 8;
  /** 16, or 32 times a power of two. */
  readonly groupColumns: number;
  /** Quants of `row`, one a byte, into `to`. */
  readonly quants: (row: number, to: Uint8Array) => void;
  readonly scales:
    | { readonly kind: 'f32'; readonly values: Float32Array }
    | { readonly kind: 'f16'; readonly values: Uint16Array }
    /** Product of a signed byte and a half that 256 columns share. */
    | { readonly kind: 'super'; readonly values: Int8Array; readonly supers: Uint16Array };
  readonly offsets:
    | { readonly kind: 'constant'; readonly zero: number }
    | { readonly kind: 'u8'; readonly values: Uint8Array }
    | { readonly kind: 'minimumF32'; readonly values: Float32Array }
    | { readonly kind: 'minimumF16'; readonly values: Uint16Array }
    /** Minus the product of a byte and a half that 256 columns share. */
    | { readonly kind: 'minimumSuper'; readonly values: Uint8Array; readonly supers: Uint16Array };
}

/** Columns that share a half in a scale of two factors. */
const SUPER_COLUMNS = 256;
const { fround } = Math;

/**
 * The weights of a packable matrix as f32, row-major, each operation rounded in the order in which the engine has them
 * (and ggml's dequantization): [rows, columns], or [columns, rows] if `transposed`.
 */
export function unfoldMatrix(matrix: PackableMatrix, transposed: boolean): Float32Array<ArrayBuffer> {
  const { rows, columns, groupColumns, offsets } = matrix;
  const groups = Math.ceil(columns / groupColumns);
  const values = new Float32Array(rows * columns);
  const quants = new Uint8Array(columns);
  const scaleOf = factors(matrix.scales, columns, groups);
  const minimumOf = offsets.kind.startsWith('minimum') ? factors(offsets as Factors, columns, groups) : null;
  const step = transposed ? rows : 1;
  for (let row = 0; row < rows; row++) {
    matrix.quants(row, quants);
    let target = transposed ? row : row * columns;
    for (let group = 0; group < groups; group++) {
      const at = row * groups + group;
      const scale = scaleOf(row, group);
      const minimum = minimumOf === null ? 0 : minimumOf(row, group);
      // Minima of two factors are taken away.
      const added = offsets.kind === 'minimumSuper' ? -minimum : minimum;
      const zero = offsets.kind === 'constant' ? offsets.zero : offsets.kind === 'u8' ? offsets.values[at]! : 0;
      const end = Math.min(columns, (group + 1) * groupColumns);
      for (let column = group * groupColumns; column < end; column++, target += step) {
        const product = fround((quants[column]! - zero) * scale);
        values[target] = minimumOf === null ? product : product + added;
      }
    }
  }
  return values;
}

type Factors =
  | PackableMatrix['scales']
  | { readonly kind: 'minimumF32'; readonly values: Float32Array }
  | { readonly kind: 'minimumF16'; readonly values: Uint16Array }
  | { readonly kind: 'minimumSuper'; readonly values: Uint8Array; readonly supers: Uint16Array };

/** The f32 of each group, which halves and products of two factors come to. */
function factors(of: Factors, columns: number, groups: number): (row: number, group: number) => number {
  const { values } = of;
  if (of.kind === 'super' || of.kind === 'minimumSuper') {
    const supers = halves(of.supers);
    const perRow = Math.ceil(columns / SUPER_COLUMNS);
    const groupsEach = groups / perRow;
    return (row, group) =>
      fround(supers[row * perRow + Math.floor(group / groupsEach)]! * values[row * groups + group]!);
  }
  const floats = values instanceof Uint16Array ? halves(values) : values;
  return (row, group) => floats[row * groups + group]!;
}

function halves(values: Uint16Array): Float32Array {
  return decodeF16(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}
