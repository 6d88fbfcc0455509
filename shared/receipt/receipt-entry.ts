import { equalBytes, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { digestSchema, peerIdSchema, type Digest, type PeerId } from '../ids.ts';
import type { Tier } from '../judge/finding.ts';
import { parseStatement, receiptId } from './read-receipt.ts';
import { tierSchema, type ReceiptFile, type ReceiptPredicate } from './receipt.ts';
import { timeOf } from './statement-form.ts';

const HEADER = 'chorus-receipt-entry/1';

/** The log's entry of a receipt, which has nothing of the prompt or the answer. */
export interface ReceiptEntry {
  readonly id: Digest;
  /** Digest of the model's manifest. */
  readonly manifest: Digest;
  readonly tier: Tier;
  readonly requester: PeerId;
  /** RFC 3339, UTC, whole seconds. */
  readonly finishedAt: string;
}

/**
 * The log's entry for a receipt, UTF-8: the lines `chorus-receipt-entry/1`, receipt id, manifest digest, tier, requester id
 * and time, each ending in LF. It follows from the receipt alone. Throws `bad-message`.
 */
export function receiptEntry(file: ReceiptFile): Uint8Array<ArrayBuffer> {
  return entryOf(receiptId(file), parseStatement(file).predicate);
}

/** The entry of a receipt that was read already. */
export function entryOf(id: Digest, predicate: ReceiptPredicate): Uint8Array<ArrayBuffer> {
  const { model, requester, verdict, finishedAt } = predicate;
  const time = timeOf(Date.parse(finishedAt));
  return utf8([HEADER, id, model.manifest.sha256, verdict.tier, requester.id, time, ''].join('\n'));
}

/** Reads an entry of the log. Throws `bad-message` for anything that `receiptEntry` would not write. */
export function parseReceiptEntry(bytes: Uint8Array<ArrayBuffer>): ReceiptEntry {
  const [header, id, manifest, tier, requester, finishedAt, last, ...rest] = decode(bytes).split('\n');
  const isForm = header === HEADER && last === '' && rest.length === 0;
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/.test(finishedAt ?? '') && !isNaN(Date.parse(finishedAt!));
  const fields = [
    digestSchema.safeParse(id),
    digestSchema.safeParse(manifest),
    peerIdSchema.safeParse(requester),
  ] as const;
  const level = tierSchema.safeParse(tier);
  const [receipt, model, peer] = fields;
  if (!isForm || !isTime || !receipt.success || !model.success || !peer.success || !level.success) throw bad();
  return { id: receipt.data, manifest: model.data, tier: level.data, requester: peer.data, finishedAt: finishedAt! };
}

function decode(bytes: Uint8Array<ArrayBuffer>): string {
  const text = new TextDecoder().decode(bytes);
  // Bytes that are no UTF-8, or begin with a mark that decoders swallow, come out as others.
  if (!equalBytes(utf8(text), bytes)) throw bad();
  return text;
}

function bad(): ChorusError {
  return new ChorusError('bad-message', 'not the entry of a receipt');
}
