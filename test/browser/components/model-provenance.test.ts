import { flushSync, mount, unmount } from 'svelte';
import { made } from 'virtual:made-receipts';
import { afterEach, expect, test } from 'vitest';
import ModelProvenance from '../../../web/components/receipts/ModelProvenance.svelte';
import type { OpenedModel } from '../../../web/receipts/open-model.ts';
import { WREN } from '../../support/page-gallery/fixtures.ts';
import { openedModel } from '../../support/page-gallery/receipt-fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(change: Partial<OpenedModel> = {}): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(ModelProvenance, { target, props: { model: openedModel(made.manifestDigest, change) } }));
  flushSync();
  return target;
}

test('shows where a model comes from, its licence, its card, its root and every file', () => {
  const target = show();
  expect(target.querySelector<HTMLAnchorElement>('a[rel~=external]')?.href).toBe(WREN.origin);
  expect(target.querySelector('a[download]')?.getAttribute('download')).toBe('wren.md');
  expect(target.textContent).toContain(WREN.root);
  expect(target.textContent).toContain('mit');
  expect([...target.querySelectorAll('li > span:first-child')].map((name) => name.textContent)).toEqual([
    'README.md',
    'config.json',
    'onnx/model_q4.onnx',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
});

test('says who signed, by which key, and what is not known', () => {
  const hint = 'ab'.repeat(32);
  const operator = show({ signer: { who: 'operator', isChecked: true, keyHint: hint } }).textContent;
  expect(operator).toContain('The operator of this server');
  expect(operator).toContain(hint);
  const publisher = (isChecked: boolean) =>
    show({ signer: { who: 'publisher', isChecked, keyHint: hint } }).textContent;
  expect(publisher(true)).toContain('it was checked here');
  expect(publisher(false)).toContain('does not read keys of its kind');
  expect(show({ signer: { who: 'unknown', isChecked: false, keyHint: null } }).textContent).toContain('not checked');
  expect(show({ signer: { who: 'nobody', isChecked: false, keyHint: null } }).textContent).toContain('Nobody');
});

test('says what is not stated', () => {
  const { manifest } = openedModel(made.manifestDigest);
  const source = { ...manifest.source, origin: null };
  const { textContent } = show({ manifest: { ...manifest, licence: 'unknown', source } });
  expect(textContent).toContain('no address is given');
  expect(textContent).toContain('not stated');
});
