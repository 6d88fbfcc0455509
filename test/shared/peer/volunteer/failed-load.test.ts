import { beforeEach, describe, expect, it } from 'vitest';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import { MemoryBlobStore } from '../../../support/memory-blob-store.ts';
import { toyDigest, toyManifestBytes } from '../../../support/toy-model.ts';
import {
  serverIdentity,
  ToyControl,
  toyIdentity,
  ToyNetwork,
  toyRanges,
  toyVerify,
} from '../../../support/toy-network.ts';
import { ToyWorker } from '../../../support/toy-worker.ts';

let network: ToyNetwork;
let control: ToyControl;
let worker: ToyWorker;
let volunteer: Volunteer;

beforeEach(async () => {
  network = new ToyNetwork();
  const identity = toyIdentity('the volunteer');
  control = new ToyControl(identity.id);
  worker = new ToyWorker(network.clock);
  const manifest = await signEnvelope(serverIdentity, MANIFEST_PAYLOAD_TYPE, toyManifestBytes);
  volunteer = new Volunteer({
    identity,
    control,
    links: network.links.join(identity.id),
    worker,
    blobs: new MemoryBlobStore(),
    fetchRange: () => Promise.reject(new ChorusError('internal', 'the toy has no bytes to fetch')),
    fetchManifest: () => Promise.resolve(manifest),
    clock: network.clock,
    verify: toyVerify,
    random: randomBytes,
    settings: {
      backend: 'auto',
      keepSubgroups: false,
      pledgeBytes: 1_000_000,
      slots: 2,
      dutyShare: 1,
      webrtc: true,
      held: [],
      isHidden: () => false,
    },
  });
});

const failures = () => control.sent.filter(({ type }) => type === 'failed');

/** Starts, is given a stage, and takes as long as it needs. */
async function load(): Promise<void> {
  volunteer.start();
  await network.clock.advance(10);
  const range = toyRanges[1] as StageRange;
  control.say({ type: 'assign', assignment: 1, model: toyDigest, range, reason: 'thin' });
  await network.clock.advance(1000);
}

describe('a volunteer whose kept weights are damaged', () => {
  const details = { damaged: [{ digest: toyDigest, pieces: [0, 3] }] };
  const damaged = new ChorusError('digest-mismatch', 'what this device had kept is damaged', details);

  it('throws them away, says so, loads what comes anew and serves', async () => {
    worker.loadFailure = { webgpu: damaged };
    const told = new Set<string>();
    volunteer.onChange(() => {
      if (!volunteer.state.message.includes('damaged')) return;
      told.add(volunteer.state.message);
      worker.loadFailure = {};
    });
    await load();
    expect([...told]).toEqual([
      expect.stringMatching(/^2 parts of the model .* damaged or lost; downloading again\.$/),
    ]);
    expect([worker.loads.length, volunteer.state.phase, failures()]).toEqual([2, 'serving', []]);
  });

  it('gives up on them where they are damaged each time', async () => {
    worker.loadFailure = { webgpu: damaged };
    await load();
    expect(failures()).toMatchObject([{ code: 'digest-mismatch' }]);
    expect(worker.loads.length).toBe(3);
  });
});

describe('a volunteer that fails in the platform’s words', () => {
  it('keeps them for a report, and tells people its own', async () => {
    worker.loadFailure = {
      webgpu: new ChorusError('internal', 'magic word 00 61 73 6d', {}, 'magic word 00 61 73 6d'),
    };
    await load();
    expect(volunteer.state.message).toBe('Could not take layers 2–3: loading it failed');
    expect(volunteer.state.error).toMatchObject({ code: 'internal', raw: 'magic word 00 61 73 6d' });
  });
});
