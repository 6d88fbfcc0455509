import { expect, inject, test } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { spawnWorker } from '../../../web/network/worker-client.ts';
import { loadRequest, readManifest } from '../../support/browser-compute.ts';
import { engineDigests, halves } from '../../support/engine-digests.ts';
import digests from '../../vectors/engine.json';

test('the engine gives the bytes in this browser that it gave in Node', async () => {
  const url = inject('modelUrl');
  const manifest = await readManifest(url);
  const session = '0'.repeat(32) as SessionId;
  const loaded = await Promise.all(
    halves.map(async (range) => {
      const client = createWorkerClient({ spawn: spawnWorker, clock: pageClock() });
      await client.start({ backend: 'wasm', keepSubgroups: false });
      const request = { ...(await loadRequest(url, manifest, range)), probe: false };
      const { numericClass } = await client.load(request, new AbortController().signal);
      await client.compute.open(session, 64);
      return { client, numericClass };
    }),
  );
  const made = await engineDigests(
    loaded[0]!.numericClass,
    async (half, input) => (await loaded[half]!.client.compute.run({ session, input, logitsFrom: 0 })).output,
  );
  expect(made).toEqual(digests);
  for (const { client } of loaded) client.stop();
});
