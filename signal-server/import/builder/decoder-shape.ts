import type { GgufType } from '#shared/model/gguf-weight.ts';

/** What a model of the llama family is made of, whatever file says so. */
export interface DecoderShape {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly vocabularySize: number;
  readonly epsilon: number;
  readonly ropeBase: number;
  /** By how much each angle turns slower, [headSize / 2]; null where all turn as they are. */
  readonly ropeFactors: readonly number[] | null;
  /** Rows of queries and keys are normalized head by head (Qwen3). */
  readonly hasHeadNorms: boolean;
  /** Positions that angles are kept for. */
  readonly positions: number;
}

/** A matrix of [rows, columns], as it will lie in the model. */
export type MatrixWeight = {
  readonly rows: number;
  readonly columns: number;
  /** How far rounding took it from its file, as a share of its root mean square; null before it is read. Absent where nothing is rounded. */
  readonly relativeError?: () => number | null;
} & (
  | { readonly form: 'float32' | 'float16'; readonly read: () => Uint8Array }
  /** Blocks of a GGUF file, for the engine alone. */
  | { readonly form: 'blocks'; readonly type: GgufType; readonly read: () => Uint8Array }
  /** Quants of `bits` bits around the middle of their range, packed as MatMulNBits has them, and an f32 scale for each 32. */
  | { readonly form: 'bits'; readonly bits: 4 | 8; readonly read: () => PackedBits }
);

export interface PackedBits {
  readonly quants: Uint8Array;
  readonly scales: Float32Array<ArrayBuffer>;
}

/** Where a decoder's weights come from, by the names that transformers gives them. */
export interface DecoderWeights {
  /** Throws `bad-model` if it is missing or of another size. */
  matrix(name: string, rows: number, columns: number): MatrixWeight;
  /** The f32 of a vector. Throws as `matrix`. */
  vector(name: string, size: number): () => Uint8Array;
  has(name: string): boolean;
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const FINAL_NORM = 'model.norm.weight';
export const HEAD = 'lm_head.weight';
