import { z } from 'zod';
import { preAuthEncoding } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE, type Envelope } from '../crypto/envelope.ts';
import { digestOf } from '../crypto/identity.ts';
import { canonicalBase64, parseJsonBytes } from '../crypto/strict-envelope.ts';
import { parseStrictText } from '../crypto/strict-json.ts';
import { ChorusError } from '../errors.ts';
import { parseForm } from '../form-words.ts';
import type { Digest } from '../ids.ts';
import { formerStatementSchema } from './former-receipt.ts';
import {
  receiptFileSchema,
  receiptStatementSchema,
  type ReceiptFile,
  type ReceiptStatement,
  type ReceiptVersion,
} from './receipt.ts';
import { FORMER_RECEIPT_TYPE, RECEIPT_TYPE } from './statement-form.ts';

const FORMAT = 'chorus-receipt/2';
const FORMER_FORMAT = 'chorus-receipt/1';
const typeSchema = z.object({ predicateType: z.string() });

/**
 * A receipt file, as JSON has it or as its text: the form of its envelope and proof is right, nothing else is looked at.
 * Throws `bad-message`.
 */
export function parseReceiptFile(given: unknown): ReceiptFile {
  const value = typeof given === 'string' ? parseStrictText(given) : given;
  const file = parseForm(receiptFileSchema, value, 'the receipt', 'bad-message');
  const { payloadType } = file.envelope;
  if (payloadType !== STATEMENT_PAYLOAD_TYPE) throw bad(`an envelope of ${payloadType.slice(0, 80)}`);
  canonicalBase64(file.envelope.payload);
  return file;
}

/** The statement of a receipt, unverified. Throws `bad-message`. */
export function parseStatement({ format, envelope }: ReceiptFile): ReceiptStatement {
  const value = parseJsonBytes(canonicalBase64(envelope.payload));
  if (format !== formatOf(value)) throw bad(`a file of ${format} around a statement of another version`);
  const schema = format === FORMER_FORMAT ? formerStatementSchema : receiptStatementSchema;
  return parseForm<z.ZodType<ReceiptStatement>>(schema, value, 'the statement of the receipt', 'bad-message');
}

/** The version of a receipt that was parsed. */
export function versionOf({ predicateType }: Pick<ReceiptStatement, 'predicateType'>): ReceiptVersion {
  return predicateType === RECEIPT_TYPE ? 2 : 1;
}

/** The receipt that an envelope holds, as a file without a proof. Throws `bad-message`. */
export function fileOf(envelope: Envelope): ReceiptFile {
  return { format: formatOf(parseJsonBytes(canonicalBase64(envelope.payload))), envelope, proof: null };
}

/** The format of a file that holds this statement: of version 1 only what says so. */
function formatOf(statement: unknown): ReceiptFile['format'] {
  return typeSchema.safeParse(statement).data?.predicateType === FORMER_RECEIPT_TYPE ? FORMER_FORMAT : FORMAT;
}

/** The id of a receipt: SHA-256 of the bytes that its requester signed (DSSE's PAE). Throws `bad-message`. */
export function receiptId({ envelope }: ReceiptFile): Digest {
  return digestOf(preAuthEncoding(envelope.payloadType, canonicalBase64(envelope.payload)));
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
