import { expect, it } from 'vitest';
import { stageMemoryBytes } from '../../../signal-server/placement/stage-memory.ts';
import { smallManifest } from '../../support/small-manifest.ts';

it('a stage is planned with the KV of every session that its worker admits, at the full length of the model', () => {
  const manifest = smallManifest({ maxPositions: 4096 });
  const { kvHeads, headSize } = manifest.config;
  const span = { start: 1, end: 4 };
  const bytesOf = (slots: number): number => stageMemoryBytes(manifest, span, 'webgpu', slots, true);
  const keysAndValues = 2 * 3 * kvHeads * headSize * 4096 * Float32Array.BYTES_PER_ELEMENT;
  expect(bytesOf(3) - bytesOf(1)).toBe(2 * keysAndValues);
});
