import { made } from 'virtual:made-receipts';
import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ReceiptFilter } from '#shared/wire/receipt-list.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { OpenedReceipt, type OpenedReceiptDeps } from '../../../web/state/opened-receipt.svelte.ts';
import { ReceiptSearch } from '../../../web/state/receipt-search.svelte.ts';
import { Verifier } from '../../../web/state/verifier.svelte.ts';
import { listedReceipts, logStatus, receiptPage } from '../../support/page-gallery/receipt-fixtures.ts';

const AT_MS = Date.parse('2026-03-01T12:00:00Z');

const ALL: ReceiptFilter = { model: null, tier: null, from: null, to: null };

test('goes back to the oldest receipt, each once', async () => {
  const list = new ReceiptSearch((query) => Promise.resolve(receiptPage(AT_MS, query)));
  await list.show(ALL);
  expect(list.loaded).toHaveLength(50);
  while (list.hasOlder) await list.older();
  expect(list.loaded.map(({ index }) => index)).toEqual(Array.from({ length: 173 }, (_, i) => 172 - i));
});

test('looks in the whole log for those of one model, verdict and time, and goes on looking for them', async () => {
  const list = new ReceiptSearch((query) => Promise.resolve(receiptPage(AT_MS, query)));
  await list.show({ ...ALL, tier: 'checked', from: '2026-02-23T00:00:00Z' });
  expect(list.loaded).toHaveLength(50);
  await list.older();
  const wanted = listedReceipts(AT_MS).filter(
    ({ tier, finishedAt }) => tier === 'checked' && finishedAt >= '2026-02-23T00:00:00Z',
  );
  expect(wanted.length).toBeGreaterThan(50);
  expect(list.loaded).toEqual(wanted);
  expect(list.hasOlder).toBe(false);
  await list.show({ ...ALL, model: made.id });
  expect(list.loaded).toEqual([]);
  expect(list.size).toBe(173);
});

test('a page that is just full is the last one', async () => {
  const list = new ReceiptSearch((query) => {
    const { size, receipts } = receiptPage(AT_MS, { ...query, limit: 200 });
    return Promise.resolve({ size, receipts: receipts.slice(123, 123 + query.limit) });
  });
  await list.show(ALL);
  expect(list.loaded).toHaveLength(50);
  expect(list.hasOlder).toBe(false);
});

test('keeps what it has when the server is gone, unless something else is looked for', async () => {
  let isThere = true;
  const list = new ReceiptSearch((query) =>
    isThere ? Promise.resolve(receiptPage(AT_MS, query)) : Promise.reject(new ChorusError('server-lost', 'gone')),
  );
  await list.show(ALL);
  isThere = false;
  await list.older();
  expect(list.loaded).toHaveLength(50);
  expect(list.error?.code).toBe('server-lost');
  await list.show(ALL);
  expect(list.loaded).toHaveLength(50);
  await list.show({ ...ALL, tier: 'disputed' });
  expect(list.loaded).toEqual([]);
  expect(list.hasOlder).toBe(false);
  isThere = true;
  await list.retry();
  expect(new Set(list.loaded.map(({ tier }) => tier))).toEqual(new Set(['disputed']));
  expect(list.error).toBeNull();
});

test('an answer that comes late does not take the place of a newer one', async () => {
  const answers: (() => void)[] = [];
  const list = new ReceiptSearch(
    (query) => new Promise((resolve) => answers.push(() => resolve(receiptPage(AT_MS, query)))),
  );
  const first = list.show({ ...ALL, tier: 'settled' });
  const second = list.show({ ...ALL, tier: 'disputed' });
  answers[1]!();
  await second;
  answers[0]!();
  await first;
  expect(new Set(list.loaded.map(({ tier }) => tier))).toEqual(new Set(['disputed']));
});

function open(change: Partial<OpenedReceiptDeps> = {}): OpenedReceipt {
  return new OpenedReceipt({
    verifier: new Verifier(() => Promise.resolve(verifyHere)),
    fetchReceipt: () => Promise.resolve(made.receipt),
    fetchLog: () => Promise.resolve(logStatus(AT_MS)),
    holdProof: () => Promise.resolve(),
    fetchManifest: () => Promise.resolve(made.manifest),
    ...change,
  });
}

test('a receipt is verified here, with the keys that the server names', async () => {
  const opened = open();
  await opened.open(made.id);
  expect(opened.status).toBe('shown');
  expect(opened.hasPolicy).toBe(true);
  expect(opened.verification?.isValid).toBe(true);
  expect(opened.verification?.summary?.witnesses.map(({ timeSeconds }) => timeSeconds !== null)).toEqual([true, true]);
});

test('the checkpoint that a receipt was proved with is held to what was seen of the log', async () => {
  const held: string[] = [];
  const opened = open({ holdProof: (proof) => (held.push(proof), Promise.resolve()) });
  await opened.open(made.id);
  expect(held).toEqual([made.receipt.proof]);
});

test('another receipt than the one asked for is not shown, however good it is', async () => {
  const opened = open({ fetchReceipt: () => Promise.resolve(made.unchecked) });
  await opened.open(made.id);
  expect(opened.status).toBe('failed');
  expect(opened.error?.code).toBe('digest-mismatch');
  expect(opened.file).toBeNull();
});

test('a receipt that the server does not have is missing', async () => {
  const gone = new ChorusError('not-found', 'It is entry 7 of its log.', { status: 404 });
  const opened = open({ fetchReceipt: () => Promise.reject(gone) });
  await opened.open('a'.repeat(64) as Digest);
  expect(opened.status).toBe('missing');
  expect(opened.error?.message).toContain('entry 7');
});

test('without word of the log a receipt is verified all the same', async () => {
  const opened = open({ fetchLog: () => Promise.reject(new ChorusError('server-lost', 'gone')) });
  await opened.open(made.id);
  expect(opened.status).toBe('shown');
  expect(opened.hasPolicy).toBe(false);
  expect(opened.verification?.checks.find(({ name }) => name === 'log-signature')?.status).toBe('not-checked');
});

const modelOf = ({ verification }: OpenedReceipt) => verification?.checks.find(({ name }) => name === 'model');

test('what a receipt says of its model is compared with the manifest that it names', async () => {
  const asked: Digest[] = [];
  const opened = open({ fetchManifest: (digest) => (asked.push(digest), Promise.resolve(made.manifest)) });
  await opened.open(made.id);
  expect(asked).toEqual([made.manifestDigest]);
  expect(modelOf(opened)?.status).toBe('passed');
  expect([opened.manifest, opened.manifestError]).toEqual([made.manifestDigest, null]);
});

test.each([
  ['the server does not have', 'unknown-model', () => Promise.reject(new ChorusError('unknown-model', 'none'))],
  ['cannot be fetched', 'server-lost', () => Promise.reject(new TypeError('no network'))],
  ['is another', 'digest-mismatch', () => Promise.resolve({ ...made.manifest, payload: 'e30=' })],
  ['is not base64', 'bad-message', () => Promise.resolve({ ...made.manifest, payload: '%' })],
])('a receipt whose manifest %s is as good as before, and that check stays open', async (_, code, fetchManifest) => {
  const opened = open({ fetchManifest });
  await opened.open(made.id);
  expect(opened.verification?.isValid).toBe(true);
  expect(modelOf(opened)?.status).toBe('not-checked');
  expect([opened.manifest, opened.manifestError?.code]).toEqual([null, code]);
});
