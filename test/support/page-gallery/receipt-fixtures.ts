import { made } from 'virtual:made-receipts';
import { fromBase64, fromHex } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import type { LogHead } from '#shared/log/log-head.ts';
import type { LogView } from '#shared/log/log-history.ts';
import { parseNote } from '#shared/log/signed-note.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import type { ListedReceipt, ReceiptList, ReceiptQuery } from '#shared/wire/receipt-list.ts';
import type { OpenedModel } from '../../../web/receipts/open-model.ts';
import type { MadeReceipt, ReceiptOutcome } from '../../../web/state/conversation/chat.ts';
import { receiptVerdict, storyEvents } from './check-fixtures.ts';
import { peer, WREN } from './fixtures.ts';

/** Contents of the page's views of receipts and their log: the receipts are real, what surrounds them is made up. */

const LISTED = 173;

/** Receipts of a log, made up; only the newest can be opened. */
export function listedReceipts(atMs: number): ListedReceipt[] {
  const tiers = ['checked', 'checked', 'checked', 'unchecked', 'checked', 'settled', 'checked', 'disputed'] as const;
  return Array.from({ length: LISTED }, (_, i) => ({
    index: LISTED - 1 - i,
    id: i === 0 ? made.id : (peer(100 + i) as string as Digest),
    model: i % 9 === 4 ? (peer(77) as string as Digest) : WREN.digest,
    modelName: i % 9 === 4 ? null : WREN.name,
    record: null,
    tier: tiers[i % tiers.length]!,
    requester: peer(i % 7),
    finishedAt: `${new Date(atMs - i * 3_700_000).toISOString().slice(0, 19)}Z`,
  }));
}

/** As the server finds them. */
export function receiptPage(atMs: number, { before, limit, model, tier, from, to }: ReceiptQuery): ReceiptList {
  const found = listedReceipts(atMs).filter(
    (each) =>
      (before === null || each.index < before) &&
      (model === null || each.model === model) &&
      (tier === null || each.tier === tier) &&
      (from === null || each.finishedAt >= from) &&
      (to === null || each.finishedAt < to),
  );
  return { size: LISTED, receipts: found.slice(0, limit) };
}

export function logStatus(atMs: number, change: Partial<LogStatus> = {}): LogStatus {
  const [one, two] = made.witnessKeys;
  return {
    origin: 'log.example/chorus',
    vkey: made.logKey,
    size: 1_284,
    checkpointAtMs: atMs - 42_000,
    history: Array.from({ length: 120 }, (_, i) => ({
      atMs: atMs - (120 - i) * 1_800_000,
      size: Math.round(1_284 - (120 - i) * 9 - 40 * Math.sin(i / 9)),
    })),
    witnesses: [
      { name: 'witness.example/one', vkey: one!, size: 1_284, cosignedAtMs: atMs - 39_000, error: null },
      {
        name: 'witness.example/two',
        vkey: two!,
        size: 1_191,
        cosignedAtMs: atMs - 3_900_000,
        error: 'no answer within 10 s',
      },
    ],
    doubt: null,
    ...change,
  };
}

function headOf(note: string): LogHead {
  return { ...parseCheckpoint(parseNote(note).text), note };
}

/** The findings of a client, by name. */
export function logViews(): Record<string, LogView> {
  const { short, forked, long } = made.notes;
  return {
    first: { kind: 'first-seen', head: headOf(long) },
    grown: { kind: 'grown', from: headOf(short), head: headOf(long) },
    split: { kind: 'split-view', remembered: headOf(forked), shown: headOf(long) },
    shrunk: { kind: 'shrunk', remembered: headOf(long), shown: headOf(short) },
    unusable: {
      kind: 'unusable',
      error: new ChorusError('digest-mismatch', "the log's tile/0/000 does not fit its checkpoint"),
    },
  };
}

/** A receipt's file changed in one character. */
export function changedReceipt(): ReceiptFile {
  const { envelope } = made.receipt;
  const payload = `${envelope.payload.slice(0, 5_000)}${envelope.payload[5_000] === 'A' ? 'B' : 'A'}${envelope.payload.slice(5_001)}`;
  return { ...made.receipt, envelope: { ...envelope, payload } };
}

/** Of all receipts, as it was hashed. */
export function manifestText(): string {
  return new TextDecoder().decode(fromBase64(made.manifest.payload));
}

/** The model of the receipts, with more to tell of it. */
export function openedModel(digest: Digest, more: Partial<OpenedModel> = {}): OpenedModel {
  const manifest = manifestSchema.parse(JSON.parse(manifestText()));
  const files = ['README.md', 'config.json', 'onnx/model_q4.onnx', 'tokenizer.json', 'tokenizer_config.json'];
  return {
    digest,
    manifest: {
      ...manifest,
      ...{ name: WREN.name, description: WREN.description, licence: WREN.licence, parameters: WREN.parameters },
      card: { digest: peer(31) as string as Digest, bytes: 2_104, pieces: [peer(31) as string as Digest] },
      source: {
        root: WREN.root,
        files: files.map((name, i) => ({ name, sha256: peer(40 + i) as string as Digest })),
        signature: null,
        origin: WREN.origin,
      },
    },
    signer: { who: 'operator', isChecked: true, keyHint: peer(50) },
    card: '# Wren\n\nA very small language model for trying out a network.\n\n- *What is 17 + 25?*',
    ...more,
  };
}

/** The outcomes of making the receipt of an answer. */
export function receiptOutcomes(): Record<string, ReceiptOutcome> {
  const secrets = { salt: fromHex(made.salt), prompt: made.prompt, pieces: null, tokens: made.tokens };
  const verdict = receiptVerdict(storyEvents());
  const receipt: MadeReceipt = { id: made.id, file: made.receipt, manifest: made.manifestDigest, verdict, secrets };
  return {
    receipt: { receipt, error: null },
    'receipt-unlogged': {
      receipt: { ...receipt, file: { ...made.receipt, proof: null } },
      error: new ChorusError('rate-limited', 'too many requests from this address'),
    },
    'receipt-failed': {
      receipt: null,
      error: new ChorusError('bad-message', 'no receipt can be made: by the clock here the answer did not end in time'),
    },
  };
}

/** Files that somebody has to verify, by what comes of it. */
export function givenFiles(): Record<string, File[]> {
  const json = (name: string, value: unknown) => new File([JSON.stringify(value)], name);
  const secrets = {
    format: 'chorus-receipt-secrets/1',
    salt: made.salt,
    prompt: made.prompt,
    tokens: made.tokens,
  };
  const receipt = json('receipt.json', made.receipt);
  const answer = new File([`${made.answer}\n`], 'answer.txt');
  return {
    'verify-alone': [receipt],
    'verify-all': [
      json('manifest.json', made.manifest),
      answer,
      receipt,
      json('secrets.json', secrets),
      new File([made.policy], 'policy.txt'),
    ],
    'verify-manifest': [receipt, new File([`${manifestText()} `], 'manifest.json')],
    'verify-missing': [json('manifest.json', made.manifest)],
    'verify-answer': [receipt, new File(['The wren is large.'], 'answer.txt')],
    'verify-changed': [json('receipt.json', changedReceipt()), answer],
    'verify-improved': [json('receipt.json', made.improved)],
    'verify-unchecked': [json('receipt.json', made.unchecked)],
    'verify-nonsense': [new File(['Hello.'], 'holiday.jpg')],
  };
}
