import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { createDiskBlobStore } from '../../../signal-server/node-peer/disk-blob-store.ts';
import { startVolunteer, type NodeVolunteer } from '../../../signal-server/node-peer/volunteer-program.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { newIdentity } from '../../support/control-peer.ts';
import { earnedStanding } from '../../support/earned-standing.ts';

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
    const standing = () => earnedStanding(network.store.trust, id, ENGINE_CLASS);
    const metrics = async () => (await fetch(`${network.url}/metrics`)).text();
    while (standing().isNew) {
      const before = standing().witnessedSpans;
      const { usage } = await ask();
      const fed = usage!.prompt_tokens + usage!.completion_tokens;
      // Not every answer goes over this volunteer, nor over an anchor beside it.
      expect(standing().witnessedSpans - before).toBeLessThanOrEqual(Math.ceil(fed / 32));
    }
    expect(await metrics()).toMatch(/^chorus_claims_total\{outcome="witnessed"\} [1-9]/m);
    expect(await metrics()).not.toMatch(/outcome="void"/);
  });
});
