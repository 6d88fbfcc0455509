import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import type { BlobRef, Manifest, Weight } from '#shared/model/manifest.ts';
import { smallManifest } from './small-manifest.ts';

interface Shape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly inner: number;
  readonly vocabulary: number;
}

const SHAPES = {
  wren: { layers: 8, hidden: 384, heads: 6, kvHeads: 2, headSize: 64, inner: 1024, vocabulary: 4096 },
  smollm2: { layers: 30, hidden: 576, heads: 9, kvHeads: 3, headSize: 64, inner: 1536, vocabulary: 49_152 },
  qwen3: { layers: 28, hidden: 1024, heads: 16, kvHeads: 8, headSize: 128, inner: 3072, vocabulary: 151_936 },
  llama1b: { layers: 16, hidden: 2048, heads: 32, kvHeads: 8, headSize: 64, inner: 8192, vocabulary: 128_256 },
} satisfies Record<string, Shape>;

export type ShapeName = keyof typeof SHAPES;

/**
 * A manifest with the sizes of a published model whose layers are q4 and whose table is tied, whose blobs are nowhere. The
 * table is of f32 as onnx-community's q4 files have it, or packed in 8 bits.
 */
export function shapeManifest(name: ShapeName, table: 'f32' | 'q8' = name === 'wren' ? 'q8' : 'f32'): Manifest {
  const { layers, hidden, heads, kvHeads, headSize, inner, vocabulary } = SHAPES[name];
  const matrices: [number, number][] = [
    [heads * headSize, hidden],
    [kvHeads * headSize, hidden],
    [kvHeads * headSize, hidden],
    [hidden, heads * headSize],
    [inner, hidden],
    [inner, hidden],
    [hidden, inner],
  ];
  const layer = matrices.flatMap(([rows, columns], i) => packed(`matrix ${i}`, rows, columns, 4));
  const tables =
    table === 'f32' ? [weight('table', 'float32', [vocabulary, hidden], 4)] : packed('table', vocabulary, hidden, 8);
  const positions = name === 'wren' ? 512 : 4096;
  const small = smallManifest({ name, layers, maxPositions: positions });
  const part = (partName: string, weights: Weight[], uses: string[] = []) => {
    const bytes = weights.reduce((sum, one) => sum + one.bytes, 0);
    return { name: partName, blob: blobOf(`${name} ${partName}`, bytes), weights, uses };
  };
  return {
    ...small,
    config: { ...small.config, hiddenSize: hidden, vocabularySize: vocabulary, heads, kvHeads, headSize },
    pins: { ...small.pins, quantization: 'q4', blockSize: 32 },
    parts: [
      part('embedding', tables),
      ...Array.from({ length: layers }, (_, i) => part(`layer.${i}`, layer, ['common'])),
      part('head', [weight('norm', 'float32', [hidden], 4)], ['embedding']),
      part('common', [weight('angles', 'float32', [2, positions, headSize / 2], 4)]),
    ],
  };
}

function weight(name: string, type: Weight['type'], dims: number[], size: number): Weight {
  return { name, type, dims, offset: 0, bytes: size * dims.reduce((all, dim) => all * dim, 1) };
}

/** Quants of a byte for each 8 bits, and an f32 for each 32 columns. */
function packed(name: string, rows: number, columns: number, bits: 4 | 8): Weight[] {
  return [
    weight(name, 'uint8', [rows, columns / 32, 4 * bits], 1),
    weight(`${name} scales`, 'float32', [rows, columns / 32], 4),
  ];
}

function blobOf(text: string, bytes: number): BlobRef {
  const digest = digestOf(utf8(text));
  return { digest, bytes, pieces: Array.from({ length: Math.ceil(bytes / BLOB_PIECE_BYTES) }, () => digest) };
}
