import { expect, test } from 'vitest';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { encodeChannelScale, measureChannelScale } from '../../../signal-server/import/probe/channel-scale.ts';
import { importWren } from '../../support/imported-wren.ts';
import { smallManifest } from '../../support/small-manifest.ts';

test('a channel’s scale is its share of the rows, however large those of a boundary are', () => {
  const rows = Float32Array.of(1, 2, 2, 4, -1, -2, 2, -4);
  const scale = measureChannelScale([rows, rows.map((value) => 1000 * value)], 4);
  expect([...scale].map((value) => value / scale[0]!)).toEqual([1, 2, 2, 4]);
  expect(Math.hypot(...scale)).toBeCloseTo(2, 5);
});

test('a channel that never moves has a scale all the same', () => {
  const scale = measureChannelScale([Float32Array.of(0, 1, 1, 1)], 4);
  expect(scale[0]).toBe(scale[1]! / 16);
  expect(measureChannelScale([new Float32Array(8)], 4).every((value) => value > 0)).toBe(true);
});

test('a manifest gives the scale back as it was measured', () => {
  const manifest = smallManifest();
  const scale = Float32Array.of(0.1, 2, 3, 4, 5, 6, 7, 8);
  const probe = { ...manifest.probe, channelScale: encodeChannelScale(scale) };
  expect(channelScale({ ...manifest, probe })).toEqual(scale);
});

test('the default model has one', { timeout: 90_000 }, async () => {
  const scale = channelScale((await importWren()).manifest);
  expect(scale.length).toBe(256);
  const meanSquare = scale.reduce((sum, value) => sum + value * value, 0) / 256;
  expect(meanSquare).toBeCloseTo(1, 3);
});
