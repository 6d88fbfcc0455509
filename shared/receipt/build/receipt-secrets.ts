import { z } from 'zod';
import { fromHex, toHex } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import { MAX_POSITIONS } from '../../limits.ts';
import { SALT_BYTES } from '../evidence/salted.ts';

/** The secrets that a requester keeps and may show to whom it likes: with them the receipt's salted hashes can be compared. */
export interface ReceiptSecrets {
  readonly salt: Uint8Array<ArrayBuffer>;
  /** As the chat template wrote it; null where the prompt came as token ids. */
  readonly prompt: string | null;
  /** Prompt and answer. */
  readonly tokens: readonly number[];
}

const secretsSchema = z.object({
  format: z.literal('chorus-receipt-secrets/1'),
  salt: z.string().regex(/^[0-9a-f]{64}$/),
  prompt: z
    .string()
    .max(16 * 1024 * 1024)
    .nullable(),
  tokens: z.array(z.int().min(0).max(0xffff_ffff)).min(1).max(MAX_POSITIONS),
});

/** As a JSON file. */
export function formatReceiptSecrets({ salt, prompt, tokens }: ReceiptSecrets): string {
  return JSON.stringify({ format: 'chorus-receipt-secrets/1', salt: toHex(salt), prompt, tokens });
}

/** Throws `bad-message`. */
export function parseReceiptSecrets(value: unknown): ReceiptSecrets {
  const parsed = secretsSchema.safeParse(value);
  if (!parsed.success) throw new ChorusError('bad-message', 'these are no secrets of a receipt');
  const { salt, prompt, tokens } = parsed.data;
  return { salt: parseSalt(salt), prompt, tokens };
}

/** 32 bytes of lower-case hexadecimal. Throws `bad-message`. */
export function parseSalt(text: string): Uint8Array<ArrayBuffer> {
  if (!new RegExp(`^[0-9a-f]{${2 * SALT_BYTES}}$`).test(text)) {
    throw new ChorusError('bad-message', `not a salt, which is ${SALT_BYTES} bytes in lower-case hexadecimal`);
  }
  return fromHex(text);
}
