import { z } from 'zod';
import { digestSchema } from '../ids.ts';
import { BLOB_PIECE_BYTES, MAX_BLOB_BYTES, MAX_LAYERS, MAX_POSITIONS } from '../limits.ts';
import { modelSourceSchema } from './model-source.ts';

/** A content-addressed run of bytes; `pieces` are the SHA-256 of each BLOB_PIECE_BYTES of it, the last one shorter. */
export const blobRefSchema = z
  .strictObject({
    digest: digestSchema,
    bytes: z.int().min(0).max(MAX_BLOB_BYTES),
    pieces: z.array(digestSchema).max(MAX_BLOB_BYTES / BLOB_PIECE_BYTES),
  })
  .refine((blob) => blob.pieces.length === Math.ceil(blob.bytes / BLOB_PIECE_BYTES), {
    message: 'not as many digests as pieces',
  });
export type BlobRef = z.infer<typeof blobRefSchema>;

export const tensorTypes = ['float32', 'float16', 'uint8', 'int8', 'uint4', 'int4', 'int32', 'int64'] as const;
export type TensorType = (typeof tensorTypes)[number];

/** As published graphs name what their weights are made of, and then the types of GGUF files: that of most of the bytes. */
const quantizations = [
  ...(['fp32', 'fp16', 'q4', 'q4f16', 'q8', 'bf16'] as const),
  ...(['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q8_0', 'q4_k', 'q5_k', 'q6_k'] as const),
] as const;

/** Where a weight lies inside its blob, little-endian, row-major. */
const weightSchema = z.strictObject({
  name: z.string().min(1).max(512),
  type: z.enum(tensorTypes),
  dims: z.array(z.int().min(0)).max(8),
  offset: z.int().min(0),
  bytes: z.int().min(0),
  /**
   * Root mean square of what the importer's rounding did to its numbers, as a share of that of the numbers themselves. Absent where
   * they are as they were published.
   */
  relativeError: z.number().min(0).max(1e6).optional(),
});
export type Weight = z.infer<typeof weightSchema>;

/** The weights of one part of the model. */
const partSchema = z.strictObject({
  /** `embedding`, `layer.N`, `head`, or `common` (caches and constants that several layers share). */
  name: z.string().regex(/^(embedding|head|common|layer\.\d{1,3})$/),
  blob: blobRefSchema,
  weights: z.array(weightSchema).max(4096),
  /** Parts whose weights this part's nodes also use (a tied table lies in `embedding` and is used by `head`). */
  uses: z.array(z.string()).max(8),
});
export type Part = z.infer<typeof partSchema>;

export const manifestSchema = z.strictObject({
  format: z.literal('chorus-manifest/3'),
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  description: z.string().max(2000),
  licence: z.string().max(200),
  parameters: z.int().min(0),
  config: z.strictObject({
    architecture: z.string().max(100),
    layers: z.int().min(1).max(MAX_LAYERS),
    hiddenSize: z.int().min(1).max(65_536),
    vocabularySize: z.int().min(1).max(1_048_576),
    heads: z.int().min(1).max(1024),
    kvHeads: z.int().min(1).max(1024),
    headSize: z.int().min(1).max(1024),
    maxPositions: z.int().min(1).max(MAX_POSITIONS),
    endTokens: z.array(z.int().min(0)).max(32),
  }),
  /** Everything that numbers depend on. A volunteer that does not match is refused with the reason. */
  pins: z.strictObject({
    runtime: z.literal('onnxruntime-web'),
    runtimeVersion: z.string(),
    quantization: z.enum(quantizations),
    blockSize: z.int().min(0),
    accuracyLevel: z.int().min(0).max(3),
    accumulation: z.literal('f32'),
    /** Element type of hidden rows on the wire. */
    boundary: z.enum(['f16', 'f32']),
    /** Element type of the KV tensors in the graph. */
    kv: z.enum(['float32', 'float16']),
    /** The one backend that holds the weights exactly; absent where all do. Volunteers never compute with different weights. */
    onlyOn: z.literal('wasm').optional(),
  }),
  /** A route never has fewer stages. */
  minStages: z.int().min(1).max(64),
  /** The whole model's graph as an ONNX ModelProto in which every weight of a part is external. */
  graph: blobRefSchema,
  parts: z
    .array(partSchema)
    .min(3)
    .max(MAX_LAYERS + 3),
  tokenizer: z.strictObject({
    /** tokenizer.json and tokenizer_config.json as published (the template inside the latter). */
    tokenizer: blobRefSchema,
    config: blobRefSchema,
  }),
  /** The model card, as Markdown. */
  card: blobRefSchema.nullable(),
  /** The files that all this was made of. */
  source: modelSourceSchema,
  /**
   * Reference values for the probe: `tokens` fed from position 0; `boundaries[b]` holds the hidden rows (f32,
   * tokens.length × hiddenSize) that go into layer b (b = layers: into the head); `logits` holds all logits (f32, tokens.length × vocabularySize).
   */
  probe: z.strictObject({
    tokens: z.array(z.int().min(0)).min(1).max(256),
    boundaries: z.array(blobRefSchema).max(MAX_LAYERS + 1),
    logits: blobRefSchema,
    /** Largest relative L2 difference of a row that a right device may show. */
    tolerance: z.number().positive(),
    /**
     * Base64 of f32 little-endian [hiddenSize], all positive: the usual size of each channel of the hidden rows over all
     * boundaries, so that in a sketch no channel outweighs the others.
     */
    channelScale: z
      .string()
      .regex(/^[A-Za-z0-9+/]*={0,2}$/)
      .max(4 * 65_536 * 2),
  }),
});
export type Manifest = z.infer<typeof manifestSchema>;

export const MANIFEST_PAYLOAD_TYPE = 'application/vnd.chorus.manifest+json';

/** What the importer's rounding did to a part's tensors, by the last word of each name. */
export interface PartRounding {
  readonly part: string;
  readonly tensors: readonly { readonly label: string; readonly relativeError: number }[];
}

/** The parts that have rounded tensors, in order. */
export function roundingOf(parts: readonly Pick<Part, 'name' | 'weights'>[]): PartRounding[] {
  return parts
    .map(({ name, weights }) => ({
      part: name,
      tensors: weights.flatMap(({ name: weight, relativeError }) =>
        relativeError === undefined ? [] : [{ label: /([^.]+)\.weight/.exec(weight)?.[1] ?? weight, relativeError }],
      ),
    }))
    .filter(({ tensors }) => tensors.length > 0);
}
