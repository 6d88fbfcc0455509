import { utf8 } from '#shared/bytes.ts';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import { canonicalBase64 } from '#shared/crypto/strict-envelope.ts';
import { parseStrictText } from '#shared/crypto/strict-json.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { policyText } from '#shared/log/policy.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { parseReceiptSecrets, type ReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import { exportedAnswers, type ExportedAnswer } from '../conversations/exported-answers.ts';
import { withoutMark } from '#shared/receipt/verify/verify-given.ts';

/** Larger ones are not read: a receipt has some hundred kilobytes, an answer fewer. */
export const MAX_GIVEN_BYTES = 32 * 1024 * 1024;

/** A dropped file, by its kind. */
export type Given =
  /** JSON that is or claims to be a receipt; null for what is no JSON. */
  | { readonly kind: 'receipt'; readonly value: unknown }
  | { readonly kind: 'secrets'; readonly secrets: ReceiptSecrets }
  /** The file of a conversation: its answers that have receipts. */
  | { readonly kind: 'conversation'; readonly answers: readonly ExportedAnswer[] }
  /** A model's manifest: the bytes that are hashed. */
  | { readonly kind: 'manifest'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'proof'; readonly text: string }
  | { readonly kind: 'policy'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string };

const POLICY_LINE = /^[ \t]*(?:(?:log|witness|group|quorum)[ \t].*|#.*)?$/;

/** Tells from its content what a file is. Throws `bad-message` for secrets, a conversation or a manifest that cannot be read. */
export function recognize(read: string): Given {
  const text = withoutMark(read);
  const value = parseJson(text);
  if (typeof value === 'object' && value !== null) {
    const format = 'format' in value && typeof value.format === 'string' ? value.format : '';
    if (format.startsWith('chorus-receipt')) demandStrict(text);
    if (format.startsWith('chorus-receipt-secrets/')) return { kind: 'secrets', secrets: parseReceiptSecrets(value) };
    if (format.startsWith('chorus-conversation/')) return { kind: 'conversation', answers: exportedAnswers(value) };
    if (format.startsWith('chorus-receipt/') || 'envelope' in value) return { kind: 'receipt', value };
    if (format.startsWith('chorus-manifest/')) return { kind: 'manifest', bytes: utf8(text) };
    const envelope = envelopeSchema.safeParse(value).data;
    if (envelope?.payloadType === MANIFEST_PAYLOAD_TYPE) {
      return { kind: 'manifest', bytes: canonicalBase64(envelope.payload) };
    }
  }
  if (text.startsWith('c2sp.org/tlog-proof@')) return { kind: 'proof', text };
  return isPolicy(text) ? { kind: 'policy', text } : { kind: 'text', text: read };
}

function isPolicy(text: string): boolean {
  const lines = text.split('\n');
  return lines.every((line) => POLICY_LINE.test(line)) && lines.some((line) => /^\s*quorum\s/.test(line));
}

/** A file's text, with its byte order mark if it has one. Throws `too-large`, or `bad-message` for what cannot be read or is no UTF-8. */
export async function readGivenFile(file: Pick<File, 'name' | 'size' | 'arrayBuffer'>): Promise<string> {
  if (file.size > MAX_GIVEN_BYTES) throw new ChorusError('too-large', `${file.name} is too large to be read`);
  const bytes = await file.arrayBuffer().catch(() => {
    throw new ChorusError(
      'bad-message',
      `${file.name} could not be read: it may have been changed since it was chosen`,
    );
  });
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // A policy alone may have other octets.
    const text = policyText(new Uint8Array(bytes));
    if (isPolicy(text)) return text;
    throw new ChorusError('bad-message', `${file.name} is no text`);
  }
}

/** A receipt that means one thing to one reader and another to the next is none. Throws `bad-message`. */
function demandStrict(text: string): void {
  try {
    parseStrictText(text);
  } catch (thrown) {
    throw new ChorusError('bad-message', `this file cannot be read: ${toChorusError(thrown).message}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
