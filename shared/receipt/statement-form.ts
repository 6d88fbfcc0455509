import { z } from 'zod';
import { STATEMENT_TYPE } from '../crypto/envelope.ts';

/** Nobody owns a domain in the name of this format, so its types are UUIDs, which cannot collide (RFC 9562). */
const TYPES = 'urn:uuid:4f0a8a5e-6c1b-4f6e-9d0c-2b7f1a3c5e71';
export const RECEIPT_TYPE = `${TYPES}#chorus-receipt-v2`;
export const FORMER_RECEIPT_TYPE = `${TYPES}#chorus-receipt-v1`;
export const ATTESTATION_TYPE = `${TYPES}#chorus-stage-attestation-v2`;
export const FORMER_ATTESTATION_TYPE = `${TYPES}#chorus-stage-attestation-v1`;

export const sha256Schema = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) });

/** RFC 3339, UTC, whole seconds or milliseconds. */
export const timeSchema = z.iso.datetime({ offset: false });

/** A Statement about one thing; unknown fields are let through, as in-toto's parsing rules want. */
export function statementSchema<Type extends string, Predicate extends z.ZodType>(type: Type, predicate: Predicate) {
  return z.object({
    _type: z.literal(STATEMENT_TYPE),
    subject: z.array(z.object({ name: z.string().max(200), digest: sha256Schema })).length(1),
    predicateType: z.literal(type),
    predicate,
  });
}

/** RFC 3339, UTC, whole seconds. */
export function timeOf(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}
