import { expect, test } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { codeOf } from '../../support/code-of.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const manifest = smallManifest();
const withScale = (...values: number[]) => ({
  ...manifest,
  probe: { ...manifest.probe, channelScale: toBase64(new Uint8Array(Float32Array.from(values).buffer)) },
});

test('a manifest’s scale is one number for each channel', () => {
  expect([...channelScale(withScale(1, 2, 3, 4, 5, 6, 7, 8))]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test.each([
  ['too few', [1, 2, 3, 4, 5, 6, 7]],
  ['too many', [1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ['a zero', [1, 2, 3, 4, 5, 6, 7, 0]],
  ['one below zero', [1, 2, 3, 4, 5, 6, 7, -8]],
  ['one that is no number', [1, 2, 3, 4, 5, 6, 7, NaN]],
  ['one that is infinite', [1, 2, 3, 4, 5, 6, 7, Infinity]],
])('a scale with %s is refused', (_, values) => {
  expect(codeOf(() => channelScale(withScale(...values)))).toBe('bad-manifest');
});

test('a scale that is not base64 is refused', () => {
  const broken = { ...manifest, probe: { ...manifest.probe, channelScale: 'A' } };
  expect(codeOf(() => channelScale(broken))).toBe('bad-manifest');
});
