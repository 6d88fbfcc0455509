import { expect, it } from 'vitest';
import { kvRoom } from '#shared/route/kv-room.ts';
import { stageMemoryBytes, unitCosts } from '../../../signal-server/placement/stage-memory.ts';
import { shapeManifest } from '../../support/shape-manifest.ts';
import { smallManifest } from '../../support/small-manifest.ts';

it('a stage is planned with the KV of a session of the full length, or of usual ones in all slots where these are longer together', () => {
  const manifest = smallManifest({ maxPositions: 4096 });
  const { kvHeads, headSize } = manifest.config;
  const span = { start: 1, end: 4 };
  const bytesOf = (slots: number): number => stageMemoryBytes(manifest, span, 'webgpu', slots, true);
  const keysAndValues = 2 * 3 * kvHeads * headSize * 4096 * Float32Array.BYTES_PER_ELEMENT;
  expect(bytesOf(4)).toBe(bytesOf(1));
  expect(bytesOf(8) - bytesOf(1)).toBe(keysAndValues);
});

it('a worker has room for what sessions say that they may come to', () => {
  expect(kvRoom(4096, 2)).toBe(4096);
  expect(kvRoom(4096, 8)).toBe(8192);
  expect(kvRoom(512, 4)).toBe(2048);
});

it('a tied table is charged once, and by the engine as packed as it came', () => {
  const manifest = shapeManifest('smollm2');
  const whole = stageMemoryBytes(manifest, { start: 0, end: 32 }, 'wasm', 1, true);
  const parts = manifest.parts.reduce((sum, { blob }) => sum + blob.bytes, 0);
  const kv = 2 * 30 * 3 * 64 * 4 * manifest.config.maxPositions;
  const rows = 32 * 4 * 49_152;
  expect(whole - parts - kv - rows).toBe(48 * 2 ** 20);
});

it('the cut weighs time: a table of plain numbers costs several times what packed layers of its size do', () => {
  const costs = unitCosts(shapeManifest('smollm2'));
  // Measured: 12.1 ms for the head, 0.3 to 0.5 ms for a layer.
  expect(costs.at(-1)! / costs[1]!).toBeGreaterThan(24);
  expect(costs.at(-1)! / costs[1]!).toBeLessThan(40);
  expect(costs[0]).toBeLessThan(costs[1]!);
});
