import { equalBytes, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { digestSchema, peerIdSchema, sessionIdSchema, type Digest, type PeerId, type SessionId } from '../ids.ts';
import type { Tier } from '../judge/finding.ts';
import { MAX_RECORDS } from '../limits.ts';
import { tierSchema } from './finding-form.ts';
import { parseStatement, receiptId } from './read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate } from './receipt.ts';
import { timeOf } from './statement-form.ts';

const HEADER = 'chorus-receipt-entry/2';
const FORMER_HEADER = 'chorus-receipt-entry/1';
const NOTHING = '-';

/** The log's entry of a receipt, which has nothing of the prompt or the answer. */
export interface ReceiptEntry {
  readonly id: Digest;
  /** Digest of the model's manifest. */
  readonly manifest: Digest;
  readonly tier: Tier;
  readonly requester: PeerId;
  /** RFC 3339, UTC, whole seconds. */
  readonly finishedAt: string;
  /** Which record of which session it is; null for receipts of version 1, which do not say so. */
  readonly record: SessionRecord | null;
}

/** A receipt's place among those of its session. */
export interface SessionRecord {
  readonly session: SessionId;
  readonly number: number;
  /** The receipt before it; null for the first. */
  readonly previous: Digest | null;
}

/**
 * The log's entry for a receipt, UTF-8: the lines `chorus-receipt-entry/2`, receipt id, manifest digest, tier, requester
 * id, time, session, number of the record and id of the receipt before it (`-` for none), each ending in LF. That of a receipt of
 * version 1 ends with the time. It follows from the receipt alone. Throws `bad-message`.
 */
export function receiptEntry(file: ReceiptFile): Uint8Array<ArrayBuffer> {
  return entryOf(receiptId(file), parseStatement(file).predicate);
}

/** The entry of a receipt that was read already. */
export function entryOf(id: Digest, predicate: ReceiptPredicate): Uint8Array<ArrayBuffer> {
  const { model, requester, verdict, finishedAt, session, record } = predicate;
  const time = timeOf(Date.parse(finishedAt));
  const place = record === undefined ? [] : [session, String(record.number), record.previous ?? NOTHING];
  const header = record === undefined ? FORMER_HEADER : HEADER;
  return utf8([header, id, model.manifest.sha256, verdict.tier, requester.id, time, ...place, ''].join('\n'));
}

/** Reads an entry of the log. Throws `bad-message` for anything that `receiptEntry` would not write. */
export function parseReceiptEntry(bytes: Uint8Array<ArrayBuffer>): ReceiptEntry {
  const lines = decode(bytes).split('\n');
  const [header, id, manifest, tier, requester, finishedAt] = lines;
  const count = header === HEADER ? 10 : header === FORMER_HEADER ? 7 : NaN;
  const isForm = lines.length === count && lines.at(-1) === '';
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/.test(finishedAt ?? '') && !isNaN(Date.parse(finishedAt!));
  const fields = [
    digestSchema.safeParse(id),
    digestSchema.safeParse(manifest),
    peerIdSchema.safeParse(requester),
  ] as const;
  const level = tierSchema.safeParse(tier);
  const [receipt, model, peer] = fields;
  if (!isForm || !isTime || !receipt.success || !model.success || !peer.success || !level.success) throw bad();
  const record = header === HEADER ? recordIn(lines.slice(6)) : null;
  return {
    ...{ id: receipt.data, manifest: model.data, tier: level.data, requester: peer.data },
    ...{ finishedAt: finishedAt!, record },
  };
}

function recordIn([session, number, previous]: readonly string[]): SessionRecord {
  const [of, before] = [sessionIdSchema.safeParse(session), digestSchema.safeParse(previous)];
  const count = /^[1-9]\d{0,3}$/.test(number ?? '') ? Number(number) : NaN;
  if (!of.success || !(count <= MAX_RECORDS) || (!before.success && previous !== NOTHING)) throw bad();
  return { session: of.data, number: count, previous: before.data ?? null };
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
