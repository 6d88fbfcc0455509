import { z } from 'zod';
import { envelopeSchema } from '../crypto/envelope.ts';
import { peerIdSchema, sessionIdSchema } from '../ids.ts';
import { TIERS, UNCHECKED_REASONS } from '../judge/finding.ts';
import { MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES } from '../limits.ts';
import { stageRangeSchema } from '../model/stage.ts';
import { FORMER_SAMPLER } from '../rows/inverse-sampler.ts';
import { RECEIPT_TYPE, sha256Schema, statementSchema, timeSchema } from './statement-form.ts';

/** Raw Ed25519 public key, 32 bytes in base64. */
const publicKeySchema = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);
const difference = z.number().min(0);
/** How far two replicas' rows of a chunk are apart, or may be. */
const differencesSchema = z.object({ median: difference, p95: difference, max: difference, bias: difference });
export const tierSchema = z.enum(TIERS);
const position = z.int().min(0).max(MAX_POSITIONS);
const stageNumber = z
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
const findingSchema = z.object({
  shadow: peerIdSchema,
  outcome: z.enum(['agreed', 'suspect', 'rejected']),
  isExact: z.boolean(),
  closeness: closenessSchema,
  /** The limits it was held to, and whether they were measured for this pair of numeric classes. */
  limits: limitsSchema,
  /** What the shadow's own rows draw, at the head; null where nothing was drawn, absent where nobody looked. */
  draws: drawsSchema.optional(),
});

const spanSchema = z.object({
  start: position,
  end: position,
  tier: tierSchema,
  stages: z
    .array(
      z.object({
        stage: stageNumber,
        tier: tierSchema,
        findings: z.array(findingSchema).max(MAX_SHADOWS),
        /** The replica that settled a difference, on the requester's word. */
        arbiter: z
          .object({ id: peerIdSchema, role: z.enum(['arbiter', 'referee']), numericClass: z.string().max(200) })
          .nullable(),
        /** Why it is unchecked; null where it is not. */
        reason: z.enum(UNCHECKED_REASONS).nullable().optional(),
        /** The replica that drew the token at the end of the span, in place of the primary; null where the primary did. */
        drawnBy: peerIdSchema.nullable().optional(),
      }),
    )
    .max(MAX_STAGES),
});

/**
 * Runs of the primaries, in order: `times` of them, one after the other, each of `count` positions with the logits of the
 * last `logits` of these wanted. One that begins before the end of the run before it follows a cut.
 */
const runSchema = z.object({
  start: position,
  count: z.int().min(1).max(MAX_POSITIONS),
  logits: position,
  times: z.int().min(1).max(MAX_POSITIONS),
});

const replicaSchema = z.object({
  id: peerIdSchema,
  role: z.enum(['primary', 'shadow']),
  numericClass: z.string().max(200),
  /** Null where it left, or did not sign, before the end. */
  signed: z.object({ publicKey: publicKeySchema, attestation: envelopeSchema }).nullable(),
});

/**
 * The predicate of a receipt: what the requester says of how an answer was made. Everything secret in it (prompt, tokens,
 * chains) is there as SHA-256(salt || it); the salt stays with the requester.
 */
export const receiptPredicateSchema = z.object({
  requester: z.object({
    id: peerIdSchema,
    publicKey: publicKeySchema,
    /** `gateway`: the server asked in the name of an API client. */
    kind: z.enum(['tab', 'gateway', 'cli']),
  }),
  model: z.object({
    name: z.string().max(64),
    manifest: sha256Schema,
    /** Root digest of the model's files as published (OpenSSF model signing). */
    root: sha256Schema,
    layers: z.int().min(1),
    hiddenSize: z.int().min(1),
    quantization: z.string().max(20),
    runtime: z.object({ name: z.string().max(100), version: z.string().max(100) }),
  }),
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
    /** End of the chain of the seeds for the sketches (judge/seed-chain.ts), in hexadecimal; null if nothing was checked. */
    seedCommitment: sha256Schema.nullable(),
    /** 16 random bytes in hexadecimal, so that no two receipts are alike. */
    nonce: z.string().regex(/^[0-9a-f]{32}$/),
  }),
  session: sessionIdSchema,
  /** As the server signed it, with the server's key: who was to run which stage, on what. */
  route: z.object({ serverKey: publicKeySchema, envelope: envelopeSchema }),
  /** Positions that every stage ran: all tokens but those that nothing followed. */
  positions: z.int().min(1).max(MAX_POSITIONS),
  runs: z.array(runSchema).min(1).max(MAX_POSITIONS),
  stages: z
    .array(
      z.object({
        range: stageRangeSchema,
        replicas: z
          .array(replicaSchema)
          .min(1)
          .max(1 + MAX_SHADOWS),
      }),
    )
    .min(1)
    .max(MAX_STAGES),
  /** The verdicts, span by span from position 0 to `positions`. */
  spans: z.array(spanSchema).min(1).max(MAX_POSITIONS),
  /** SHA-256 of thresholds.json, the measured limits. */
  thresholds: sha256Schema,
  /** The lowest tier of the spans, and how many have which. */
  verdict: z.object({
    tier: tierSchema,
    counts: z.object({ checked: position, settled: position, unchecked: position, disputed: position }),
  }),
  /** Replicas that failed a check while the answer was made, of this route and of those it left. */
  faults: z
    .array(
      z.object({
        volunteer: peerIdSchema,
        stage: stageNumber,
        role: z.enum(['primary', 'shadow']),
        code: z.string().max(40),
        isProven: z.boolean(),
      }),
    )
    .max(256),
  startedAt: timeSchema,
  finishedAt: timeSchema,
});
export type ReceiptPredicate = z.infer<typeof receiptPredicateSchema>;

/** The name of the sampler that drew the answer; receipts made before there was a second one do not say it. */
export function samplerOf({ request }: Pick<ReceiptPredicate, 'request'>): string {
  return request.sampling.sampler ?? FORMER_SAMPLER;
}

/** The subject is named `answer`; its digest is SHA-256 of the answer's UTF-8. */
export const receiptStatementSchema = statementSchema(RECEIPT_TYPE, receiptPredicateSchema);
export type ReceiptStatement = z.infer<typeof receiptStatementSchema>;

/** A receipt as a file: the requester's envelope and, once it is logged, where. */
export const receiptFileSchema = z.object({
  format: z.literal('chorus-receipt/1'),
  envelope: envelopeSchema,
  /** A `.tlog-proof` (C2SP tlog-proof@v1) for the entry of this receipt; null before it is logged. */
  proof: z
    .string()
    .max(128 * 1024)
    .nullable(),
});
export type ReceiptFile = z.infer<typeof receiptFileSchema>;
