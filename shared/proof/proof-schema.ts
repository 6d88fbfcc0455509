import { z } from 'zod';
import { envelopeSchema } from '../crypto/envelope.ts';
import { MAX_PROOF_ROWS_BYTES } from '../limits.ts';

const base64 = (maxBytes: number) =>
  z
    .string()
    .max(4 * Math.ceil(maxBytes / 3))
    .regex(/^[A-Za-z0-9+/]*={0,2}$/);

/** A signed statement as it was sent: the signed bytes, the raw public key and the signature. */
const signedSchema = z.strictObject({ statement: base64(1024), publicKey: base64(32), signature: base64(64) });

/** A signed reveal with the values whose digests it signs. */
const revealedSchema = z.strictObject({ ...signedSchema.shape, input: base64(64 * 1024), output: base64(64 * 1024) });

/** One party's word on one span. */
const testimonySchema = z.strictObject({ commit: signedSchema, reveal: revealedSchema });

/**
 * A proof, to anybody who holds the server's key and the manifest, that a key is at fault. Everything in it is signed by
 * the server (routes), by the accused, and for `computation` by an anchor of the server's own.
 */
export const proofSchema = z.discriminatedUnion('type', [
  /** The accused and a referee took in the same rows in a whole session, and what they computed is too far apart. */
  z.strictObject({
    type: z.literal('computation'),
    route: envelopeSchema,
    replay: envelopeSchema,
    accused: testimonySchema,
    referee: testimonySchema,
  }),
  /** The accused signed two different commits, or two different reveals, for one span. */
  z.strictObject({
    type: z.literal('equivocation'),
    route: envelopeSchema,
    first: signedSchema,
    second: signedSchema,
  }),
  /** The accused revealed another sketch than that of the rows it committed to; `rows` are these, of the whole span. */
  z.strictObject({
    type: z.literal('sketch'),
    route: envelopeSchema,
    side: z.enum(['input', 'output']),
    accused: testimonySchema,
    rows: base64(MAX_PROOF_ROWS_BYTES),
  }),
]);
export type Proof = z.infer<typeof proofSchema>;
