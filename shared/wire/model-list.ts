import { z } from 'zod';
import { digestSchema } from '../ids.ts';
import { MAX_LAYERS, MAX_POSITIONS } from '../limits.ts';

/** What `GET /api/models` answers: the models this server has manifests of, the default one first. */
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
      }),
    )
    .max(1000),
});
export type ModelList = z.infer<typeof modelListSchema>;
export type ModelSummary = ModelList['models'][number];
