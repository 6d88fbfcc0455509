import { z } from 'zod';
import { sessionIdSchema } from '../ids.ts';
import { MAX_POSITIONS } from '../limits.ts';
import { formerStageSchema, spansForm } from './finding-form.ts';
import {
  faultsSchema,
  modelSchema,
  nonceSchema,
  requesterSchema,
  runsSchema,
  seedCommitmentSchema,
  signedRouteSchema,
  stagesSchema,
  verdictSchema,
} from './predicate-form.ts';
import { FORMER_RECEIPT_TYPE, sha256Schema, statementSchema, timeSchema } from './statement-form.ts';

/** The predicate of version 1, which is read for good and no longer written. */
const formerPredicateSchema = z.object({
  requester: requesterSchema,
  model: modelSchema,
  request: z.object({
    /** SHA-256(salt || UTF-8 of the prompt as the chat template wrote it); null where the prompt came as token ids. */
    prompt: sha256Schema.nullable(),
    tokens: z.object({
      prompt: z.int().min(1).max(MAX_POSITIONS),
      answer: z.int().min(0).max(MAX_POSITIONS),
      /** SHA-256(salt || chain over all of them), each a row of u32 little-endian. */
      sha256: sha256Schema.shape.sha256,
    }),
    sampling: z.object({
      temperature: z.number().min(0),
      topP: z.number(),
      seed: z.number(),
      maxNewTokens: z.int(),
      /** How tokens were drawn; `chorus-sample/1` where it is absent. */
      sampler: z.string().max(40).optional(),
    }),
    seedCommitment: seedCommitmentSchema,
    nonce: nonceSchema,
  }),
  session: sessionIdSchema,
  route: signedRouteSchema,
  /** Positions that every stage ran: all tokens but those that nothing followed. */
  positions: z.int().min(1).max(MAX_POSITIONS),
  runs: runsSchema,
  stages: stagesSchema,
  /** The verdicts, span by span from position 0 to `positions`. */
  spans: spansForm(formerStageSchema),
  /** SHA-256 of thresholds.json, the measured limits. */
  thresholds: sha256Schema,
  verdict: verdictSchema,
  faults: faultsSchema,
  startedAt: timeSchema,
  finishedAt: timeSchema,
});

/** The subject is named `answer`; its digest is SHA-256 of the answer's UTF-8. */
export const formerStatementSchema = statementSchema(FORMER_RECEIPT_TYPE, formerPredicateSchema);
export type FormerStatement = z.infer<typeof formerStatementSchema>;
