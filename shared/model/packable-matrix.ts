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
