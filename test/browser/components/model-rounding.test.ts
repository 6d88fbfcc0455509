import { flushSync, mount, unmount } from 'svelte';
import { made } from 'virtual:made-receipts';
import { expect, onTestFinished, test } from 'vitest';
import type { Manifest } from '#shared/model/manifest.ts';
import ModelRounding from '../../../web/components/receipts/ModelRounding.svelte';
import { openedModel } from '../../support/page-gallery/receipt-fixtures.ts';

function show(parts: Manifest['parts']): HTMLElement {
  const target = document.createElement('div');
  const { manifest } = openedModel(made.manifestDigest);
  const shown = mount(ModelRounding, { target, props: { manifest: { ...manifest, parts } } });
  onTestFinished(() => void unmount(shown));
  flushSync();
  return target;
}

const part = (name: string, errors: Readonly<Record<string, number>>): Manifest['parts'][number] => ({
  ...{ name, blob: { digest: 'a'.repeat(64) as never, bytes: 1, pieces: [] }, uses: [] },
  weights: Object.entries(errors).map(([weight, relativeError]) => ({
    ...{ name: weight, type: 'uint8', dims: [1], offset: 0, bytes: 1, relativeError },
  })),
});

test('says what rounding cost each tensor, and the least and most of it', () => {
  const { textContent } = show([
    part('embedding', { 'model.embed_tokens.weight_Q8': 0.0051 }),
    part('layer.0', {
      'model.layers.0.self_attn.q_proj.weight_Q4': 0.0912,
      'model.layers.0.mlp.up_proj.weight_Q4': 0.0888,
    }),
  ]);
  expect(textContent).toContain('0.51 % to 9.12 %');
  expect(textContent).toContain('3 tensors');
  expect(textContent).toMatch(/Embedding\s*embed_tokens 0\.51 %\s*Layer 0\s*q_proj 9\.12 %\s*up_proj 8\.88 %/);
});

test('says nothing of a model whose weights are as they were published', () => {
  expect(show([part('embedding', {})]).textContent.trim()).toBe('');
});
