import { z } from 'zod';

/** in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md). */
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const STATEMENT_PAYLOAD_TYPE = 'application/vnd.in-toto+json';

/** DSSE envelope (dsse 1.0.2) around a JSON payload; `payload` and `sig` in standard base64. */
export const envelopeSchema = z.strictObject({
  payloadType: z.string().max(200),
  payload: z.string().max(12 * 1024 * 1024),
  signatures: z
    .array(z.strictObject({ keyid: z.string().max(200), sig: z.string().max(200) }))
    .min(1)
    .max(16),
});
export type Envelope = z.infer<typeof envelopeSchema>;
