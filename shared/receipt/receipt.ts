import { z } from 'zod';
import { envelopeSchema } from '../crypto/envelope.ts';
import { digestSchema, peerIdSchema, sessionIdSchema } from '../ids.ts';
import { MAX_POSITIONS, MAX_RECORDS, MAX_SHADOWS } from '../limits.ts';
import { FORMER_SAMPLER } from '../rows/inverse-sampler.ts';
import { findingSchema, formerArbiterSchema, formerStageSchema, reasonSchema, spansForm } from './finding-form.ts';
import type { FormerStatement } from './former-receipt.ts';
import {
  faultsSchema,
  modelSchema,
  nonceSchema,
  requesterSchema,
  runsSchema,
  seedCommitmentSchema,
  signedRecordSchema,
  signedRouteSchema,
  stagesSchema,
  verdictSchema,
} from './predicate-form.ts';
import { RECEIPT_TYPE, sha256Schema, statementSchema, timeSchema } from './statement-form.ts';

export type ReceiptVersion = 1 | 2;

/** The verdict on one stage of a span. */
const stageSchema = formerStageSchema.extend({
  findings: z.array(findingSchema).max(MAX_SHADOWS),
  /** The replica that settled a difference, with what it signed of that over a route of its own; `signed` is null where it did not sign. */
  arbiter: formerArbiterSchema
    .extend({ signed: signedRecordSchema.extend({ route: envelopeSchema }).nullable() })
    .nullable(),
  reason: reasonSchema,
  drawnBy: peerIdSchema.nullable(),
});

/**
 * The predicate of a receipt: what the requester says of how an answer was made. Everything secret in it (prompt, tokens,
 * chains) is there as SHA-256(salt || it); the salt stays with the requester.
 */
export const receiptPredicateSchema = z.object({
  requester: requesterSchema,
  model: modelSchema,
  request: z.object({
    /**
     * SHA-256(salt || the prompt in pieces, as text/prompt-bytes.ts writes it), and SHA-256(salt || UTF-8 of its whole text); null
     * where the prompt came as token ids.
     */
    prompt: sha256Schema.extend({ text: sha256Schema.shape.sha256 }).nullable(),
    tokens: z.object({
      prompt: z.int().min(1).max(MAX_POSITIONS),
      answer: z.int().min(0).max(MAX_POSITIONS),
      /** SHA-256(salt || chain over those of [0, positions)), each a row of u32 little-endian: what the first stage took in. */
      fed: sha256Schema.shape.sha256,
      /** The same over all of them. */
      sha256: sha256Schema.shape.sha256,
    }),
    sampling: z.object({
      temperature: z.number().min(0).max(2),
      topP: z.number().gt(0).max(1),
      seed: z.int(),
      maxNewTokens: z.int().min(1).max(MAX_POSITIONS),
      /** How tokens were drawn. */
      sampler: z.string().min(1).max(40),
    }),
    seedCommitment: seedCommitmentSchema,
    nonce: nonceSchema,
  }),
  session: sessionIdSchema,
  /** Which record of its session this is, from 1 on, and the id of the receipt before it; null for the first that was made. */
  record: z.object({ number: z.int().min(1).max(MAX_RECORDS), previous: digestSchema.nullable() }),
  route: signedRouteSchema,
  /** Positions that every stage ran: all tokens but those that nothing followed. */
  positions: z.int().min(1).max(MAX_POSITIONS),
  runs: runsSchema,
  stages: stagesSchema,
  /** The verdicts, span by span from position 0 to `positions`. */
  spans: spansForm(stageSchema),
  /** SHA-256 of thresholds.json, the measured limits. */
  thresholds: sha256Schema,
  verdict: verdictSchema,
  faults: faultsSchema,
  /** Not before the route was given, however long the answer waited for it. */
  startedAt: timeSchema,
  finishedAt: timeSchema,
});

/** The subject is named `answer`; its digest is SHA-256 of the answer's UTF-8. */
export const receiptStatementSchema = statementSchema(RECEIPT_TYPE, receiptPredicateSchema);
/** A statement as it is written today. */
export type WrittenStatement = z.infer<typeof receiptStatementSchema>;
type Written = WrittenStatement['predicate'];
type Former = FormerStatement['predicate'];
type WrittenStage = Written['spans'][number]['stages'][number];
type FormerStage = Former['spans'][number]['stages'][number];

/** What a predicate of any version says; what version 1 never bound is absent there. */
export type ReceiptPredicate = Omit<Former, 'request' | 'spans'> & {
  request: Former['request'] & { prompt: { text?: string } | null; tokens: { fed?: string } };
  record?: Written['record'];
  spans: (Omit<Former['spans'][number], 'stages'> & {
    stages: (Omit<FormerStage, 'arbiter'> & { arbiter: (NonNullable<FormerStage['arbiter']> & ArbiterMore) | null })[];
  })[];
};
type ArbiterMore = Partial<Pick<NonNullable<WrittenStage['arbiter']>, 'signed'>>;
export type ReceiptStatement = Omit<FormerStatement, 'predicate' | 'predicateType'> & {
  predicateType: FormerStatement['predicateType'] | WrittenStatement['predicateType'];
  predicate: ReceiptPredicate;
};

/** The name of the sampler that drew the answer; receipts made before there was a second one do not say it. */
export function samplerOf({ request }: Pick<ReceiptPredicate, 'request'>): string {
  return request.sampling.sampler ?? FORMER_SAMPLER;
}

/** A receipt as a file: the requester's envelope and, once it is logged, where. */
export const receiptFileSchema = z.object({
  format: z.enum(['chorus-receipt/1', 'chorus-receipt/2']),
  envelope: envelopeSchema,
  /** A `.tlog-proof` (C2SP tlog-proof@v1) for the entry of this receipt; null before it is logged. */
  proof: z
    .string()
    .max(128 * 1024)
    .nullable(),
});
export type ReceiptFile = z.infer<typeof receiptFileSchema>;
