import { expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { measuredCompute } from '#shared/peer/volunteer/measured-compute.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { Rows } from '#shared/rows/rows.ts';

const session = '0'.repeat(32) as SessionId;
const rows = (count: number): Rows => ({ kind: 'tokens', start: 0, count, bytes: new Uint8Array(4 * count) });

function computeThatTakes(runUs: () => number): StageCompute {
  const done = () => Promise.resolve();
  const run: StageCompute['run'] = ({ input }) =>
    Promise.resolve({ output: input, timings: { queueUs: 90_000, decodeUs: 100, runUs: runUs(), encodeUs: 100 } });
  return { open: done, cut: done, close: done, run };
}

it('follows what runs of one position take, layer for layer and without their waiting', async () => {
  let runUs = 7_800;
  const compute = measuredCompute(
    computeThatTakes(() => runUs),
    4,
    14,
  );
  expect(compute.layerMs).toBe(14);
  await compute.run({ session, input: rows(1), logitsFrom: 0 });
  expect(compute.layerMs).toBeCloseTo(14 + (2 - 14) / 16);
  for (let i = 0; i < 200; i++) await compute.run({ session, input: rows(1), logitsFrom: 0 });
  expect(compute.layerMs).toBeCloseTo(2);
  runUs = 400_000;
  await compute.run({ session, input: rows(32), logitsFrom: 0 });
  expect(compute.layerMs).toBeCloseTo(2);
});

it('times a stage without layers as if it had one', async () => {
  const compute = measuredCompute(
    computeThatTakes(() => 1_800),
    0,
    2,
  );
  await compute.run({ session, input: rows(1), logitsFrom: 0 });
  expect(compute.layerMs).toBe(2);
});
