import { z } from 'zod';
import { peerIdSchema } from '../ids.ts';
import { TIERS, UNCHECKED_REASONS } from '../judge/finding.ts';
import { MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES } from '../limits.ts';

const difference = z.number().min(0);
/** How far two replicas' rows of a chunk are apart, or may be. */
const differencesSchema = z.object({ median: difference, p95: difference, max: difference, bias: difference });
export const tierSchema = z.enum(TIERS);
export const position = z.int().min(0).max(MAX_POSITIONS);
export const stageNumber = z
  .int()
  .min(0)
  .max(MAX_STAGES - 1);

/** The closeness of two replicas on one chunk (judge/finding.ts). */
export const closenessSchema = differencesSchema.extend({ norm: z.number(), tokenGap: difference });
/** The limits that a pair of numeric classes was held to, and whether they were measured for it. */
export const limitsSchema = z.object({
  pair: z.string().max(405),
  kind: z.enum(['hidden', 'logits']),
  isMeasured: z.boolean(),
  accept: differencesSchema,
  reject: differencesSchema,
  tokenGap: difference,
});
/** What a shadow's own rows draw at the head; null where nothing was drawn. */
export const drawsSchema = z.object({ drawn: position, lost: position, firstLost: position.nullable() }).nullable();

/** One comparison of a primary with one of its shadows, as the requester judged it (judge/finding.ts). */
export const formerFindingSchema = z.object({
  shadow: peerIdSchema,
  outcome: z.enum(['agreed', 'suspect', 'rejected']),
  isExact: z.boolean(),
  closeness: closenessSchema,
  /** The limits it was held to, and whether they were measured for this pair of numeric classes. */
  limits: limitsSchema,
  /** What the shadow's own rows draw, at the head; null where nothing was drawn, absent where nobody looked. */
  draws: drawsSchema.optional(),
});
/** As version 2 has it: the draws are always told. */
export const findingSchema = formerFindingSchema.extend({ draws: drawsSchema });

/** The replica that settled a difference, on the requester's word. */
export const formerArbiterSchema = z.object({
  id: peerIdSchema,
  role: z.enum(['arbiter', 'referee']),
  numericClass: z.string().max(200),
});

/** The verdicts on the stages of spans. */
export function spansForm<Stage extends z.ZodType>(stage: Stage) {
  const span = z.object({ start: position, end: position, tier: tierSchema, stages: z.array(stage).max(MAX_STAGES) });
  return z.array(span).min(1).max(MAX_POSITIONS);
}

/** Why a stage is unchecked. */
export const reasonSchema = z.enum(UNCHECKED_REASONS).nullable();

/** The verdict on one stage of a span, as version 1 has it. */
export const formerStageSchema = z.object({
  stage: stageNumber,
  tier: tierSchema,
  findings: z.array(formerFindingSchema).max(MAX_SHADOWS),
  /** The replica that settled a difference, on the requester's word. */
  arbiter: formerArbiterSchema.nullable(),
  /** Why it is unchecked; null where it is not. */
  reason: reasonSchema.optional(),
  /** The replica that drew the token at the end of the span, in place of the primary; null where the primary did. */
  drawnBy: peerIdSchema.nullable().optional(),
});
