import { z } from 'zod';
import { digestSchema, peerIdSchema } from '#shared/ids.ts';
import { CHECK_FAILURES, TIERS, UNCHECKED_REASONS } from '#shared/judge/finding.ts';
import { MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES } from '#shared/limits.ts';
import { stageRangeSchema } from '#shared/model/stage.ts';
import { SALT_BYTES } from '#shared/receipt/evidence/salted.ts';
import { closenessSchema, drawsSchema, limitsSchema } from '#shared/receipt/finding-form.ts';
import { receiptFileSchema } from '#shared/receipt/receipt.ts';
import { routeSchema } from '#shared/route/route.ts';
import { keptErrorSchema, MAX_REASON } from './kept-conversation.ts';

/** What there is to show of how an answer was made, kept beside its text: routes, checks, the receipt and its salt. */

const MAX_ROUTES = 64;
const tier = z.enum(TIERS);
const position = z.int().min(0).max(MAX_POSITIONS);
const stage = z
  .int()
  .min(0)
  .max(MAX_STAGES - 1);
const numericClass = z.string().max(200);

const findingSchema = z.object({
  shadow: peerIdSchema,
  shadowClass: numericClass,
  outcome: z.enum(['agreed', 'suspect', 'rejected']),
  isExact: z.boolean(),
  closeness: closenessSchema,
  threshold: limitsSchema,
  draws: drawsSchema,
});

const spanCheckSchema = z.object({
  start: position,
  end: position,
  tier,
  stages: z
    .array(
      z.object({
        stage,
        range: stageRangeSchema,
        tier,
        primary: peerIdSchema,
        primaryClass: numericClass,
        findings: z.array(findingSchema).max(MAX_SHADOWS),
        arbiter: z.object({ id: peerIdSchema, role: z.enum(['arbiter', 'referee']), numericClass }).nullable(),
        reason: z.enum(UNCHECKED_REASONS).nullable(),
        drawnBy: peerIdSchema.nullable(),
      }),
    )
    .max(MAX_STAGES),
});

const faultSchema = z.object({
  volunteer: peerIdSchema,
  stage,
  role: z.enum(['primary', 'shadow']),
  code: z.enum(CHECK_FAILURES),
  start: position,
  end: position,
  isProven: z.boolean(),
  range: stageRangeSchema.nullable(),
});

const madeReceiptSchema = z.object({
  id: digestSchema,
  file: receiptFileSchema,
  manifest: digestSchema,
  secrets: z.object({
    salt: z.custom<Uint8Array<ArrayBuffer>>((value) => value instanceof Uint8Array && value.length === SALT_BYTES),
    prompt: z
      .string()
      .max(16 * 1024 * 1024)
      .nullable(),
    /** Of receipts that were kept before there was a second version of them there are none. */
    pieces: z
      .object({
        isRendered: z.boolean(),
        pieces: z.array(z.object({ text: z.string().max(16 * 1024 * 1024), isMarker: z.boolean() })).max(MAX_POSITIONS),
      })
      .nullable()
      .default(null),
    tokens: z.array(z.int().min(0).max(0xffff_ffff)).max(MAX_POSITIONS),
  }),
});

export const keptEvidenceSchema = z.object({
  routes: z
    .array(
      z.object({
        route: routeSchema,
        checks: z.array(spanCheckSchema).max(MAX_POSITIONS),
        faults: z.array(faultSchema).max(MAX_POSITIONS),
      }),
    )
    .max(MAX_ROUTES),
  reroutes: z
    .array(z.object({ reason: z.string().max(MAX_REASON), volunteer: peerIdSchema.nullable() }))
    .max(MAX_ROUTES),
  /** Null where there is none, and none was to be. */
  receipt: z.object({ receipt: madeReceiptSchema.nullable(), error: keptErrorSchema.nullable() }).nullable(),
});
export type KeptEvidence = z.infer<typeof keptEvidenceSchema>;
