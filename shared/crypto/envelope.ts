import { z } from 'zod';

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
