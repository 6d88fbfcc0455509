import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import type { ModelSummary } from '#shared/wire/model-list.ts';
import ModelProvenance from '../../../web/components/ModelProvenance.svelte';
import { unsignedSource } from '../../support/model-sources.ts';
import { WREN } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(change: Partial<ModelSummary> = {}): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  const source = unsignedSource({ 'config.json': '{}', 'README.md': 'a card' });
  shown.push(mount(ModelProvenance, { target, props: { model: { ...WREN, ...change }, source } }));
  flushSync();
  return target;
}

test('shows where a model comes from, its licence, its root and every file', () => {
  const target = show();
  expect(target.querySelector<HTMLAnchorElement>('a[rel~=external]')?.href).toBe(WREN.origin);
  expect(target.textContent).toContain(WREN.root);
  expect(target.textContent).toContain('mit');
  expect([...target.querySelectorAll('li > span:first-child')].map((name) => name.textContent)).toEqual([
    'README.md',
    'config.json',
  ]);
});

test('says who signed, and what is not known', () => {
  expect(show().textContent).toContain('The operator of this server');
  const unknown = { origin: null, licence: 'unknown', signedBy: { who: 'unknown', keyHint: null } } as const;
  const { textContent } = show(unknown);
  expect(textContent).toContain('no address is given');
  expect(textContent).toContain('not stated');
  expect(textContent).toContain('not checked');
  expect(show({ signedBy: null }).textContent).toContain('Nobody');
});
