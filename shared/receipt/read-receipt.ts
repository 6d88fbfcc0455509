import type { z } from 'zod';
import { preAuthEncoding } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../crypto/envelope.ts';
import { digestOf } from '../crypto/identity.ts';
import { canonicalBase64, parseJsonBytes } from '../crypto/strict-envelope.ts';
import { ChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { receiptFileSchema, receiptStatementSchema, type ReceiptFile, type ReceiptStatement } from './receipt.ts';

/** A receipt file: the form of its envelope and proof is right, nothing else is looked at. Throws `bad-message`. */
export function parseReceiptFile(value: unknown): ReceiptFile {
  const file = parsed(receiptFileSchema, value, 'no receipt');
  const { payloadType } = file.envelope;
  if (payloadType !== STATEMENT_PAYLOAD_TYPE) throw bad(`an envelope of ${payloadType.slice(0, 80)}`);
  canonicalBase64(file.envelope.payload);
  return file;
}

/** The statement of a receipt, unverified. Throws `bad-message`. */
export function parseStatement({ envelope }: ReceiptFile): ReceiptStatement {
  return parsed(receiptStatementSchema, parseJsonBytes(canonicalBase64(envelope.payload)), 'no statement of a receipt');
}

/** The id of a receipt: SHA-256 of the bytes that its requester signed (DSSE's PAE). Throws `bad-message`. */
export function receiptId({ envelope }: ReceiptFile): Digest {
  return digestOf(preAuthEncoding(envelope.payloadType, canonicalBase64(envelope.payload)));
}

function parsed<Form extends z.ZodType>(form: Form, value: unknown, what: string): z.output<Form> {
  const result = form.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw bad(`${what}: ${issue?.path.join('.') || 'it'} is wrong (${issue?.message ?? 'unknown'})`);
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
