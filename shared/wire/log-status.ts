import { z } from 'zod';
import { MAX_REASON_CHARACTERS } from '../limits.ts';

const size = z.int().min(0);
const wallMs = z.number().min(0);
/** `name+id+base64` (C2SP signed-note). */
const verifierKey = z.string().max(400);

/** The answer of `GET /api/log`: the operator's word on its log. The log's own files say how much of it is true. */
export const logStatusSchema = z.object({
  origin: z.string().max(255),
  vkey: verifierKey,
  size,
  /** When the newest checkpoint was signed; null where the server does not know. */
  checkpointAtMs: wallMs.nullable(),
  /** Its growth, the oldest first. */
  history: z.array(z.object({ atMs: wallMs, size })).max(10_000),
  witnesses: z
    .array(
      z.object({
        name: z.string().max(255),
        vkey: verifierKey,
        /** Of the newest checkpoint that it has cosigned; null before the first. */
        size: size.nullable(),
        cosignedAtMs: wallMs.nullable(),
        /** Why it did not cosign when it was asked last. */
        error: z.string().max(MAX_REASON_CHARACTERS).nullable(),
      }),
    )
    .max(64),
  /** Why the log takes no more entries; null while it does. */
  doubt: z.string().max(1000).nullable().default(null),
});
export type LogStatus = z.infer<typeof logStatusSchema>;
