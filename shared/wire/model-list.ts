import { z } from 'zod';
import { digestSchema } from '../ids.ts';
import { MAX_LAYERS, MAX_POSITIONS } from '../limits.ts';
import { blobRefSchema } from '../model/manifest.ts';
import { webAddressSchema } from '../model/model-source.ts';

/** The signer of a model's folder. */
const modelSignerSchema = z.object({
  /** `publisher`: checked with the key given when the model was imported; `unknown`: there was no key to check it with. */
  who: z.enum(['operator', 'publisher', 'unknown']),
  /** SHA-256 of the key's PEM; null where a certificate stands for the key. */
  keyHint: z.string().max(200).nullable(),
});
export type ModelSigner = z.infer<typeof modelSignerSchema>;

/** What a model takes of volunteers, as placement reckons it. */
const modelNeedsSchema = z.object({
  /** Bytes that one volunteer has to lend at the least: with less, no number of them is enough. */
  leastPledgeBytes: z.number().min(0),
  /** Of the fewest volunteers that answer, with keys and values. */
  memoryBytes: z.number().min(0),
  /** What a tab lends where nobody changed its settings. */
  tabBytes: z.number().min(0),
  /** So many of these until it answers, and until answers are checked; null where no number is enough. */
  tabsToAnswer: z.int().min(0).nullable(),
  tabsToCheck: z.int().min(0).nullable(),
});
export type ModelNeeds = z.infer<typeof modelNeedsSchema>;

/** The answer of `GET /api/models`: the models this server has manifests of, the default one first. */
export const modelListSchema = z.object({
  models: z
    .array(
      z.object({
        name: z.string().max(64),
        /** Digest of the manifest, the key for `/api/models/<digest>`. */
        digest: digestSchema,
        description: z.string().max(2000),
        parameters: z.int().min(0),
        layers: z.int().min(1).max(MAX_LAYERS),
        quantization: z.string().max(20),
        maxPositions: z.int().min(1).max(MAX_POSITIONS),
        licence: z.string().max(200),
        /** The model card as Markdown, at `/blobs/<digest>`. */
        card: blobRefSchema.nullable(),
        /** The root digest of the folder it was imported from. */
        root: digestSchema,
        origin: webAddressSchema.nullable(),
        signedBy: modelSignerSchema.nullable(),
        needs: modelNeedsSchema,
      }),
    )
    .max(1000),
});
export type ModelList = z.infer<typeof modelListSchema>;
export type ModelSummary = ModelList['models'][number];
