import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import { toyDigest } from '../../../support/toy-model.ts';
import { type ToyControl, ToyNetwork, toyRanges } from '../../../support/toy-network.ts';
import type { ToyWorker } from '../../../support/toy-worker.ts';
import { toyVolunteer } from '../../../support/toy-volunteer.ts';

let network: ToyNetwork;
let control: ToyControl;
let worker: ToyWorker;
let volunteer: Volunteer;

beforeEach(async () => {
  network = new ToyNetwork();
  ({ volunteer, control, worker } = await toyVolunteer(network));
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
