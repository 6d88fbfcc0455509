import { z } from 'zod';
import { digestSchema, sessionIdSchema } from '../../ids.ts';
import { MAX_POSITIONS, MAX_RECORDS, MAX_STAGES } from '../../limits.ts';
import { stageRangeSchema } from '../../model/stage.ts';
import {
  ATTESTATION_TYPE,
  FORMER_ATTESTATION_TYPE,
  sha256Schema,
  statementSchema,
  timeSchema,
} from '../statement-form.ts';

/**
 * One replica's word, over its own signature, on its part in a session: which stage of which model it ran, in which
 * numeric class, and what went in and came out. Chains (rows/row-chain.ts) are given as SHA-256(salt || chain): with
 * the bare ones, a guess at the prompt could be confirmed. The salt is the requester's, one for each answer.
 */
const formerAttestationPredicateSchema = z.object({
  session: sessionIdSchema,
  stage: z
    .int()
    .min(0)
    .max(MAX_STAGES - 1),
  range: stageRangeSchema,
  role: z.enum(['primary', 'shadow', 'replay']),
  /** Digest of the manifest. */
  model: digestSchema,
  numericClass: z.string().max(200),
  runtime: z.object({ name: z.string().max(100), version: z.string().max(100) }),
  /** Positions [0, positions) of the session. */
  positions: z.int().min(1).max(MAX_POSITIONS),
  /** Chain of the input rows: of the token ids at stage 0, else of the hidden rows. */
  input: sha256Schema,
  /** Chain of the output rows at the end of each chunk, the last one at `positions`; it is the subject's digest too. */
  outputs: z
    .array(z.object({ end: z.int().min(1).max(MAX_POSITIONS), sha256: sha256Schema.shape.sha256 }))
    .min(1)
    .max(MAX_POSITIONS),
  /** Chain of the runs (rows/row-chain.ts, ShapeChain), which needs no salt. */
  runs: sha256Schema,
  attestedAt: timeSchema,
});

const attestationPredicateSchema = formerAttestationPredicateSchema.extend({
  /** Which record of its session this is, as the requester numbered it; a replica signs no number twice. */
  record: z.int().min(1).max(MAX_RECORDS),
  /** The module of the engine that computed it, all of its digest; null where the runtime did. */
  engine: sha256Schema.nullable(),
});
type FormerAttestationPredicate = z.infer<typeof formerAttestationPredicateSchema>;

/** What an attestation of any version says; the record's number and the engine are absent in version 1. */
export type AttestationPredicate = FormerAttestationPredicate &
  Partial<Pick<z.infer<typeof attestationPredicateSchema>, 'record' | 'engine'>>;

/** The subject is named `stage N output`. */
export const attestationSchema = statementSchema(ATTESTATION_TYPE, attestationPredicateSchema);
/** Version 1, which is read for good and no longer written. */
export const formerAttestationSchema = statementSchema(FORMER_ATTESTATION_TYPE, formerAttestationPredicateSchema);
export const anyAttestationSchema = z.discriminatedUnion('predicateType', [attestationSchema, formerAttestationSchema]);
export type WrittenAttestation = z.infer<typeof attestationSchema>;
export type Attestation = Omit<z.infer<typeof formerAttestationSchema>, 'predicate' | 'predicateType'> & {
  predicateType: z.infer<typeof anyAttestationSchema>['predicateType'];
  predicate: AttestationPredicate;
};
