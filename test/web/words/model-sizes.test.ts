import { expect, test } from 'vitest';
import { sizesOf } from '../../../web/words/model-sizes.ts';
import { shapeManifest } from '../../support/shape-manifest.ts';

test('neighbouring layers of one size are said together, and a head without weights of its own is left out', () => {
  const { parts } = shapeManifest('wren');
  const layer = parts.find(({ name }) => name === 'layer.0')!.blob;
  const larger = { ...layer, bytes: layer.bytes + 1 };
  const changed = parts.map((part) =>
    part.name === 'layer.3'
      ? { ...part, blob: larger }
      : part.name === 'head'
        ? { ...part, blob: { ...part.blob, bytes: 0 } }
        : part,
  );
  expect(sizesOf(changed).map(({ name, count }) => [name, count])).toEqual([
    ['Embedding', 1],
    ['Layers 0–2', 3],
    ['Layer 3', 1],
    ['Layers 4–7', 4],
    ['Common', 1],
  ]);
  expect(sizesOf(changed)[1]!.bytes).toBe(layer.bytes);
});
