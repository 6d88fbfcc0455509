import { flushSync, mount, unmount, type Component } from 'svelte';
import { made } from 'virtual:made-receipts';
import { afterEach, expect, test, vi } from 'vitest';
import DropZone from '../../../web/components/controls/DropZone.svelte';
import AnswerReceipt from '../../../web/components/receipts/AnswerReceipt.svelte';
import ReceiptFilters from '../../../web/components/receipts/ReceiptFilters.svelte';
import ReceiptTable from '../../../web/components/receipts/ReceiptTable.svelte';
import ReceiptVerdict from '../../../web/components/receipts/ReceiptVerdict.svelte';
import VerificationReport from '../../../web/components/receipts/VerificationReport.svelte';
import WitnessList from '../../../web/components/receipts/WitnessList.svelte';
import type { ChosenReceipts } from '../../../web/receipts/receipt-filter.ts';
import { verifyHere, type VerifyRequest } from '../../../web/receipts/verify-here.ts';
import { WREN } from '../../support/page-gallery/fixtures.ts';
import { listedReceipts, logStatus, receiptOutcomes } from '../../support/page-gallery/receipt-fixtures.ts';

const AT_MS = Date.parse('2026-03-01T12:00:00Z');
const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
  vi.restoreAllMocks();
});

function show<Props extends Record<string, unknown>>(component: Component<Props>, props: Props): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(component, { target, props }));
  flushSync();
  return target;
}

async function report(request: Omit<VerifyRequest, 'receipt'> = {}, receipt: unknown = made.receipt) {
  const verification = await verifyHere({ ...request, receipt });
  return show(VerificationReport, { verification });
}

test('the verdict is told to screen readers, in a sentence', async () => {
  const verification = await verifyHere({ receipt: made.receipt, answer: 'The wren is large.' });
  const status = show(ReceiptVerdict, { verification }).querySelector<HTMLElement>('[role=status]');
  expect(status?.innerText).toContain('This is not the answer that the receipt is about');
  expect(status?.querySelector('.danger')).not.toBeNull();
});

test('names each check with what became of it', async () => {
  const text = (await report({ answer: 'The wren is large.' })).innerText;
  expect(text).toMatch(/The answer at hand\s*failed\s*this is not the answer/);
  expect(text).toMatch(/The prompt at hand\s*not checked/);
  expect(text).toMatch(/Signature of who asked\s*passed/);
});

test('says what was proved and, always, what was not', async () => {
  const text = (await report({ policy: made.policy })).innerText;
  expect(text).toMatch(/What this proves[^]*two keys agreed bit for bit/);
  expect(text).toMatch(/What it does not prove[^]*collusion of both is not excluded/);
});

test('shows a receipt that fails as what it says, not as what is so', async () => {
  const text = (await report({}, made.improved)).innerText;
  expect(text.indexOf('Every check')).toBeLessThan(text.indexOf('Who computed it'));
  expect(text).toContain('It is not to be relied on.');
});

test('is a picture: model, who ran and re-ran each stage, each chunk, place in the log, witnesses', async () => {
  const target = await report({ policy: made.policy }, made.another);
  expect(target.querySelector('a[href^="#/models/"]')?.textContent).toBe('small');
  const [first, second] = [...target.querySelectorAll<HTMLElement>('ol > .stage')].map((stage) => stage.innerText);
  expect(first).toMatch(/Stage 1\s*embedding \+ layers 0–3[^]*ran it[^]*signed[^]*agreed on all 3 chunks/);
  expect(second).toMatch(/WebGPU · google\/swiftshader/);
  expect(target.querySelectorAll('[data-cell]')).toHaveLength(6);
  expect(target.innerText).toMatch(/Entry 400 of the 801\s*in log\.example\/chorus/);
  expect(target.querySelectorAll('[aria-label=Witnesses] li')).toHaveLength(2);
});

test('a chunk’s details follow the cell that is chosen', async () => {
  const target = await report();
  target.querySelectorAll<HTMLElement>('[data-cell]')[4]!.click();
  flushSync();
  expect(target.innerText).toContain('re-ran it, agreed within tolerance');
});

test('what is no receipt has no picture', async () => {
  const target = await report({}, null);
  expect(target.querySelector('[data-cell]')).toBeNull();
  expect(target.innerText).toContain('Anything: this is no receipt.');
});

test('says who, what, when and the verdict before all else, with digests that are short and copied whole', async () => {
  const write = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue(undefined);
  const target = await report();
  const terms = [...target.querySelectorAll('dt')].map(({ textContent }) => textContent);
  expect(terms.slice(0, 4)).toEqual(['Who', 'What', 'When', 'Verdict']);
  expect(target.innerText).not.toMatch(/[0-9a-f]{32}/);
  const copy = [...target.querySelectorAll('button')].find(({ title }) => title === 'Copy the receipt’s digest');
  copy!.click();
  await expect.poll(() => write.mock.lastCall?.[0]).toBe(made.id);
});

/** Opens an answer's receipt. */
function open(target: HTMLElement): void {
  target.querySelector('button')!.click();
  flushSync();
}

test('an answer’s receipt has a link, the files, and the salt with what it opens', () => {
  const target = show(AnswerReceipt, { outcome: receiptOutcomes()['receipt']!, answer: made.answer });
  open(target);
  expect(target.querySelector('a')?.getAttribute('href')).toBe(`#/receipts/${made.id}`);
  const buttons = [...target.querySelectorAll('.body button')].map((button) => button.textContent.trim());
  expect(buttons).toEqual([
    'Copy the link',
    'Receipt',
    'Proof of the log',
    'Answer',
    'Copy the salt',
    'Salt, prompt and tokens',
  ]);
  const manifest = target.querySelector('a[download]');
  expect(manifest?.getAttribute('href')).toBe(`/api/models/${made.manifestDigest}`);
  expect(target.innerText).toContain(made.salt);
  expect(target.innerText).toContain('This salt opens it');
});

test('an answer whose receipt is not logged says so, and gives what there is', () => {
  const target = show(AnswerReceipt, { outcome: receiptOutcomes()['receipt-unlogged']!, answer: '' });
  open(target);
  expect(target.innerText).toMatch(/not logged[^]*not in the log: Too many requests/);
  expect(target.querySelector('a[href^="#/receipts/"]')).toBeNull();
  const failed = show(AnswerReceipt, { outcome: receiptOutcomes()['receipt-failed']!, answer: '' });
  expect(failed.textContent).toMatch(/No receipt\. No receipt can be made: by the clock here/);
});

test('the list has a table for each day, whose rows lead to the receipts', () => {
  const target = show(ReceiptTable, { receipts: listedReceipts(AT_MS).slice(0, 30) });
  expect(target.querySelectorAll('table').length).toBeGreaterThan(1);
  expect(target.querySelector('a')?.getAttribute('href')).toBe(`#/receipts/${made.id}`);
});

test('what narrows the list says what was chosen, and nothing of a day that is not complete', () => {
  const chosen: ChosenReceipts = { model: made.id, tier: 'settled', from: '2026-03-01', to: null };
  const told: ChosenReceipts[] = [];
  const target = show(ReceiptFilters, {
    chosen,
    models: [WREN],
    listed: listedReceipts(AT_MS),
    onChoose: (next: ChosenReceipts) => void told.push(next),
  });
  const [model, tier] = [...target.querySelectorAll('select')];
  const [from, to] = [...target.querySelectorAll('input')];
  expect([model!.value, tier!.value, from!.value, to!.value]).toEqual([made.id, 'settled', '2026-03-01', '']);
  const names = [...model!.options].map(({ text }) => text);
  expect(names).toEqual(['All models', 'wren', expect.stringMatching(/^model /), `model ${made.id.slice(0, 8)}`]);

  const change = (element: HTMLInputElement | HTMLSelectElement, value: string) => {
    element.value = value;
    element.dispatchEvent(new Event('change', { bubbles: true }));
    return told.splice(0);
  };
  expect(change(model!, WREN.digest)).toEqual([{ ...chosen, model: WREN.digest }]);
  expect(change(tier!, '')).toEqual([{ ...chosen, tier: null }]);
  expect(change(to!, '2026-03-09')).toEqual([{ ...chosen, to: '2026-03-09' }]);
  expect(change(from!, '')).toEqual([{ ...chosen, from: null }]);
  expect(change(from!, '0202-03-01')).toEqual([]);
});

test('says which witness is behind, and why', () => {
  const text = show(WitnessList, { status: logStatus(AT_MS), nowMs: AT_MS }).innerText;
  expect(text).toContain('cosigned 39 s ago, all entries');
  expect(text).toMatch(/cosigned 1 h 5 min ago, 93 entries behind\s*No answer within 10 s\./);
  const none = show(WitnessList, { status: logStatus(AT_MS, { witnesses: [] }), nowMs: AT_MS });
  expect(none.innerText).toContain('Nobody witnesses this log.');
});

test('takes files that are dropped', () => {
  const taken: string[] = [];
  const onFiles = (files: readonly File[]) => void taken.push(...files.map(({ name }) => name));
  const target = show(DropZone, { label: 'Choose', hint: '', onFiles });
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(['{}'], 'receipt.json'));
  target.querySelector('.zone')!.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }));
  expect(taken).toEqual(['receipt.json']);
});

test('the place to drop files shrinks once something was dropped', () => {
  const height = (isSmall: boolean) =>
    show(DropZone, { label: 'Choose', hint: 'Or drop it here.', isSmall, onFiles: () => undefined }).clientHeight;
  expect(height(true)).toBeLessThan(height(false) / 2);
});
