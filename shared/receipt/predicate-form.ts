import { z } from 'zod';
import { envelopeSchema } from '../crypto/envelope.ts';
import { peerIdSchema } from '../ids.ts';
import { MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES } from '../limits.ts';
import { stageRangeSchema } from '../model/stage.ts';
import { position, stageNumber, tierSchema } from './finding-form.ts';
import { sha256Schema } from './statement-form.ts';

/** The parts of a receipt's predicate that are alike in all versions. */

/** Raw Ed25519 public key, 32 bytes in base64. */
const publicKeySchema = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);

export const requesterSchema = z.object({
  id: peerIdSchema,
  publicKey: publicKeySchema,
  /** `gateway`: the server asked in the name of an API client. */
  kind: z.enum(['tab', 'gateway', 'cli']),
});

export const modelSchema = z.object({
  name: z.string().max(64),
  manifest: sha256Schema,
  /** Root digest of the model's files as published (OpenSSF model signing). */
  root: sha256Schema,
  layers: z.int().min(1),
  hiddenSize: z.int().min(1),
  quantization: z.string().max(20),
  runtime: z.object({ name: z.string().max(100), version: z.string().max(100) }),
});

/** End of the chain of the seeds for the sketches (judge/seed-chain.ts), in hexadecimal; null if nothing was checked. */
export const seedCommitmentSchema = sha256Schema.nullable();
/** 16 random bytes in hexadecimal, so that no two receipts are alike. */
export const nonceSchema = z.string().regex(/^[0-9a-f]{32}$/);

/** As the server signed it, with the server's key: who was to run which stage, on what. */
export const signedRouteSchema = z.object({ serverKey: publicKeySchema, envelope: envelopeSchema });

/**
 * Runs of the primaries, in order: `times` of them, one after the other, each of `count` positions with the logits of the
 * last `logits` of these wanted. One that begins before the end of the run before it follows a cut.
 */
export const runsSchema = z
  .array(
    z.object({
      start: position,
      count: z.int().min(1).max(MAX_POSITIONS),
      logits: position,
      times: z.int().min(1).max(MAX_POSITIONS),
    }),
  )
  .min(1)
  .max(MAX_POSITIONS);

/** A replica's attestation, and the key that signed it. */
export const signedRecordSchema = z.object({ publicKey: publicKeySchema, attestation: envelopeSchema });

export const stagesSchema = z
  .array(
    z.object({
      range: stageRangeSchema,
      replicas: z
        .array(
          z.object({
            id: peerIdSchema,
            role: z.enum(['primary', 'shadow']),
            numericClass: z.string().max(200),
            /** Null where it left, or did not sign, before the end. */
            signed: signedRecordSchema.nullable(),
          }),
        )
        .min(1)
        .max(1 + MAX_SHADOWS),
    }),
  )
  .min(1)
  .max(MAX_STAGES);

/** The lowest tier of the spans, and how many have which. */
export const verdictSchema = z.object({
  tier: tierSchema,
  counts: z.object({ checked: position, settled: position, unchecked: position, disputed: position }),
});

/** Replicas that failed a check while the answer was made, of this route and of those it left. */
export const faultsSchema = z
  .array(
    z.object({
      volunteer: peerIdSchema,
      stage: stageNumber,
      role: z.enum(['primary', 'shadow']),
      code: z.string().max(40),
      isProven: z.boolean(),
    }),
  )
  .max(256);
