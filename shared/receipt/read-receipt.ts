import { preAuthEncoding } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../crypto/envelope.ts';
import { digestOf } from '../crypto/identity.ts';
import { canonicalBase64, parseJsonBytes } from '../crypto/strict-envelope.ts';
import { ChorusError } from '../errors.ts';
import { parseForm } from '../form-words.ts';
import type { Digest } from '../ids.ts';
import { receiptFileSchema, receiptStatementSchema, type ReceiptFile, type ReceiptStatement } from './receipt.ts';

/** A receipt file: the form of its envelope and proof is right, nothing else is looked at. Throws `bad-message`. */
export function parseReceiptFile(value: unknown): ReceiptFile {
  const file = parseForm(receiptFileSchema, value, 'the receipt', 'bad-message');
  const { payloadType } = file.envelope;
  if (payloadType !== STATEMENT_PAYLOAD_TYPE) throw bad(`an envelope of ${payloadType.slice(0, 80)}`);
  canonicalBase64(file.envelope.payload);
  return file;
}

/** The statement of a receipt, unverified. Throws `bad-message`. */
export function parseStatement({ envelope }: ReceiptFile): ReceiptStatement {
  const value = parseJsonBytes(canonicalBase64(envelope.payload));
  return parseForm(receiptStatementSchema, value, 'the statement of the receipt', 'bad-message');
}

/** The id of a receipt: SHA-256 of the bytes that its requester signed (DSSE's PAE). Throws `bad-message`. */
export function receiptId({ envelope }: ReceiptFile): Digest {
  return digestOf(preAuthEncoding(envelope.payloadType, canonicalBase64(envelope.payload)));
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
