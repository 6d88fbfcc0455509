import { made } from 'virtual:made-receipts';
import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { OpenedReceipt, type OpenedReceiptDeps } from '../../../web/state/opened-receipt.svelte.ts';
import { Receipts } from '../../../web/state/receipt-list.svelte.ts';
import { Verifier } from '../../../web/state/verifier.svelte.ts';
import { verifyHere } from '../../../web/verify-here.ts';
import { logStatus, receiptPage } from '../../support/page-gallery/receipt-fixtures.ts';

const AT_MS = Date.parse('2026-03-01T12:00:00Z');

test('goes back to the oldest receipt, each once', async () => {
  const list = new Receipts((query) => Promise.resolve(receiptPage(AT_MS, query)));
  await list.load();
  expect(list.loaded).toHaveLength(50);
  while (list.hasOlder) await list.older();
  expect(list.loaded.map(({ index }) => index)).toEqual(Array.from({ length: 173 }, (_, i) => 172 - i));
});

test('shows those of one model or verdict', async () => {
  const list = new Receipts((query) => Promise.resolve(receiptPage(AT_MS, query)));
  await list.load();
  list.tier = 'disputed';
  expect(new Set(list.shown.map(({ tier }) => tier))).toEqual(new Set(['disputed']));
  list.tier = null;
  list.model = list.models.find(({ modelName }) => modelName === null)!.model;
  expect(list.shown.length).toBeGreaterThan(0);
  expect(list.shown.every(({ modelName }) => modelName === null)).toBe(true);
});

test('keeps what it has when the server is gone', async () => {
  let isThere = true;
  const list = new Receipts((query) =>
    isThere ? Promise.resolve(receiptPage(AT_MS, query)) : Promise.reject(new ChorusError('server-lost', 'gone')),
  );
  await list.load();
  isThere = false;
  await list.older();
  expect(list.loaded).toHaveLength(50);
  expect(list.error?.code).toBe('server-lost');
});

function open(change: Partial<OpenedReceiptDeps> = {}): OpenedReceipt {
  return new OpenedReceipt({
    verifier: new Verifier(() => Promise.resolve(verifyHere)),
    fetchReceipt: () => Promise.resolve(made.receipt),
    fetchLog: () => Promise.resolve(logStatus(AT_MS)),
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

test('another receipt than the one asked for is not shown, however good it is', async () => {
  const opened = open({ fetchReceipt: () => Promise.resolve(made.unchecked) });
  await opened.open(made.id);
  expect(opened.status).toBe('failed');
  expect(opened.error?.code).toBe('digest-mismatch');
  expect(opened.file).toBeNull();
});

test('a receipt that the server does not have is missing', async () => {
  const gone = new ChorusError('unknown-model', 'It is entry 7 of its log.', { status: 404 });
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
