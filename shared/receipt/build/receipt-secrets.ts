import { z } from 'zod';
import { fromHex, toHex } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import { MAX_POSITIONS } from '../../limits.ts';
import { textOf, type Prompt } from '../../text/prompt.ts';
import { SALT_BYTES } from '../evidence/salted.ts';

const MAX_CHARACTERS = 16 * 1024 * 1024;

/** The secrets that a requester keeps and may show to whom it likes: with them the receipt's salted hashes can be compared. */
export interface ReceiptSecrets {
  readonly salt: Uint8Array<ArrayBuffer>;
  /** The text of the prompt as the chat template wrote it; null where it came as token ids. */
  readonly prompt: string | null;
  /** The same in pieces; null where there are none, and of receipts of version 1. */
  readonly pieces: Prompt | null;
  /** Prompt and answer. */
  readonly tokens: readonly number[];
}

const tokensSchema = z.array(z.int().min(0).max(0xffff_ffff)).min(1).max(MAX_POSITIONS);
const saltSchema = z.string().regex(/^[0-9a-f]{64}$/);
const formerSecretsSchema = z.object({
  format: z.literal('chorus-receipt-secrets/1'),
  salt: saltSchema,
  prompt: z.string().max(MAX_CHARACTERS).nullable(),
  tokens: tokensSchema,
});

/** A prompt in pieces, each of them characters or a marker. */
export const promptSchema = z.strictObject({
  isRendered: z.boolean(),
  pieces: z
    .array(
      z.union([
        z.strictObject({ text: z.string().min(1).max(MAX_CHARACTERS) }),
        z.strictObject({ marker: z.string().min(1).max(1000) }),
      ]),
    )
    .max(MAX_POSITIONS),
});
/** The file of the secrets. */
export const secretsSchema = z.object({
  format: z.literal('chorus-receipt-secrets/2'),
  salt: saltSchema,
  prompt: promptSchema.nullable(),
  tokens: tokensSchema,
});
const anySecretsSchema = z.discriminatedUnion('format', [formerSecretsSchema, secretsSchema]);

/** As a JSON file, of version 1 where there are no pieces of a prompt that there is. */
export function formatReceiptSecrets({ salt, prompt, pieces, tokens }: ReceiptSecrets): string {
  if (pieces === null && prompt !== null) {
    return JSON.stringify({ format: 'chorus-receipt-secrets/1', salt: toHex(salt), prompt, tokens });
  }
  const said = pieces && {
    isRendered: pieces.isRendered,
    pieces: pieces.pieces
      .filter(({ text }) => text !== '')
      .map(({ text, isMarker }) => (isMarker ? { marker: text } : { text })),
  };
  return JSON.stringify({ format: 'chorus-receipt-secrets/2', salt: toHex(salt), prompt: said, tokens });
}

/** Throws `bad-message`. */
export function parseReceiptSecrets(value: unknown): ReceiptSecrets {
  const parsed = anySecretsSchema.safeParse(value);
  if (!parsed.success) throw new ChorusError('bad-message', 'these are no secrets of a receipt');
  const { format, tokens, prompt: said } = parsed.data;
  const salt = parseSalt(parsed.data.salt);
  if (format === 'chorus-receipt-secrets/1') return { salt, prompt: said, pieces: null, tokens };
  const pieces = said && promptOf(said);
  return { salt, prompt: pieces && textOf(pieces), pieces, tokens };
}

function promptOf({ isRendered, pieces }: z.infer<typeof promptSchema>): Prompt {
  return {
    isRendered,
    pieces: pieces.map((piece) =>
      'marker' in piece ? { text: piece.marker, isMarker: true } : { text: piece.text, isMarker: false },
    ),
  };
}

/** 32 bytes of lower-case hexadecimal. Throws `bad-message`. */
export function parseSalt(text: string): Uint8Array<ArrayBuffer> {
  if (!new RegExp(`^[0-9a-f]{${2 * SALT_BYTES}}$`).test(text)) {
    throw new ChorusError('bad-message', `not a salt, which is ${SALT_BYTES} bytes in lower-case hexadecimal`);
  }
  return fromHex(text);
}
