import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { createDiskBlobStore } from '../../../signal-server/node-peer/disk-blob-store.ts';
import { startVolunteer, type NodeVolunteer } from '../../../signal-server/node-peer/volunteer-program.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { newIdentity } from '../../support/control-peer.ts';

let network: AnchoredServer;
let volunteer: NodeVolunteer;
let id: PeerId;
const aborter = new AbortController();
const snapshotOf = (peer: PeerId) => network.server.snapshot().volunteers.find((each) => each.id === peer);

beforeAll(async () => {
  network = await startAnchoredServer(3);
  const identity = await newIdentity();
  ({ id } = identity);
  volunteer = await startVolunteer({
    ...{ serverUrl: new URL(network.url), identity, kind: 'cli', signal: aborter.signal },
    blobs: createDiskBlobStore(join(network.dataFolder.blobsPath)),
    settings: { backend: 'wasm', pledgeBytes: 2 ** 30, slots: 4 },
  });
  await vi.waitFor(() => expect(snapshotOf(id)?.state).toBe('ready'), { timeout: 60_000, interval: 100 });
}, 120_000);
afterAll(async () => {
  await volunteer.stop();
  await network.stop();
});

describe('a volunteer beside anchors that really compute', { timeout: 120_000 }, () => {
  it('earns what its anchor signed too, for the spans of each answer once', async () => {
    const ask = () =>
      network.client.chat.completions.create({
        ...{ model: 'wren', temperature: 0, max_tokens: 70 },
        messages: [{ role: 'user', content: 'Tell me a story about a fox.' }],
      });
    expect(snapshotOf(id)!.trust).toMatchObject({ witnessedSpans: 0, isNew: true });
    const { usage } = await ask();
    const fed = usage!.prompt_tokens + usage!.completion_tokens;
    const least = Math.floor((fed - 1) / 32);
    const witnessed = () => snapshotOf(id)!.trust.witnessedSpans;
    await expect.poll(witnessed, { timeout: 10_000 }).toBeGreaterThanOrEqual(least);
    expect(witnessed()).toBeLessThanOrEqual(Math.ceil(fed / 32));
    const metrics = await (await fetch(`${network.url}/metrics`)).text();
    expect(metrics).toMatch(/^chorus_claims_total\{outcome="witnessed"\} 1$/m);
    expect(metrics).not.toMatch(/outcome="void"/);
    while (snapshotOf(id)!.trust.isNew) {
      const before = witnessed();
      await ask();
      await expect.poll(witnessed, { timeout: 10_000 }).toBeGreaterThan(before);
    }
  });
});
