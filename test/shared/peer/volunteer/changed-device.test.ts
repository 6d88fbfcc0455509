import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { LendingSettings, Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import { toyDigest } from '../../../support/toy-model.ts';
import { type ToyControl, ToyNetwork, toyRanges } from '../../../support/toy-network.ts';
import type { ToyWorker } from '../../../support/toy-worker.ts';
import { toyLending, toyVolunteer } from '../../../support/toy-volunteer.ts';

const lostDevice = new ChorusError('device-lost', 'the graphics device was lost: A valid external Instance reference');
const silentThread = new ChorusError('worker-lost', 'the compute thread does not answer');

let network: ToyNetwork;
let isDirect: boolean;
let control: ToyControl;
let worker: ToyWorker;
let volunteer: Volunteer;

async function make(
  backend: LendingSettings['backend'],
  deviceFault: LendingSettings['deviceFault'] = null,
): Promise<void> {
  network = new ToyNetwork();
  isDirect = true;
  ({ volunteer, control, worker } = await toyVolunteer(network, {
    ...{ ...toyLending, backend, deviceFault },
    get webrtc() {
      return isDirect;
    },
  }));
  volunteer.start();
  await network.clock.advance(10);
}

async function assign(): Promise<void> {
  control.say({ type: 'assign', assignment: 1, model: toyDigest, range: toyRanges[1]!, reason: 'thin' });
  await network.clock.advance(100);
}

const backends = () => worker.starts.map(({ backend }) => backend);

describe('a volunteer that may choose, and whose graphics device', () => {
  beforeEach(() => make('auto'));

  it('is lost before it serves goes on without it at once, and says why', async () => {
    worker.lose(lostDevice);
    expect(volunteer.state).toMatchObject({
      phase: 'loading',
      message: 'The graphics device was lost before it could work. Trying without WebGPU.',
      error: null,
    });
    await network.clock.advance(10);
    await assign();
    expect(backends()).toEqual(['auto', 'wasm']);
    expect(volunteer.state).toMatchObject({
      phase: 'serving',
      backend: { backend: 'wasm', fallbackReason: 'the graphics device was lost before it could work' },
    });
  });

  it('is lost once while it serves tries it again, and goes on without it the second time', async () => {
    await assign();
    worker.lose(lostDevice);
    await network.clock.advance(10);
    await assign();
    expect([backends(), volunteer.state.phase]).toEqual([['auto', 'auto'], 'serving']);
    worker.lose(lostDevice);
    await network.clock.advance(10);
    await assign();
    expect([backends(), volunteer.state.phase]).toEqual([['auto', 'auto', 'wasm'], 'serving']);
  });

  it('does not answer any more goes on without it', async () => {
    await assign();
    worker.lose(silentThread);
    await network.clock.advance(10);
    await assign();
    expect([backends(), volunteer.state.phase]).toEqual([['auto', 'wasm'], 'serving']);
  });

  it('is lost while it is paused stays paused without it', async () => {
    volunteer.pause();
    worker.lose(lostDevice);
    await network.clock.advance(10);
    expect([backends(), volunteer.state.phase]).toEqual([['auto', 'wasm'], 'paused']);
    volunteer.resume();
    await assign();
    expect(volunteer.state).toMatchObject({ phase: 'serving', backend: { backend: 'wasm' } });
  });

  it('is lost tries it again after the next start', async () => {
    worker.lose(lostDevice);
    volunteer.stop();
    volunteer.start();
    await network.clock.advance(10);
    expect(worker.starts.at(-1)).toEqual({ backend: 'auto', keepSubgroups: false, dutyShare: 1 });
  });
});

it.each(['webgpu', 'wasm'] as const)(
  'a volunteer that asked for %s alone goes over to nothing else',
  async (backend) => {
    await make(backend);
    for (let i = 0; i < 4; i++) {
      worker.lose(lostDevice);
      await network.clock.advance(10);
    }
    expect(new Set(backends())).toEqual(new Set([backend]));
    expect(volunteer.state).toMatchObject({ phase: 'failed', error: { code: 'device-lost' } });
  },
);

it.each([
  ['auto', 'wasm', 'it was lost again and again'],
  ['webgpu', 'webgpu', undefined],
] as const)('told that its graphics device failed before, one that may take %s begins with %s', async (...given) => {
  const [backend, taken, fallbackReason] = given;
  await make(backend, 'it was lost again and again');
  expect(worker.starts).toMatchObject([{ backend: taken }]);
  expect(worker.starts[0]?.fallbackReason).toBe(fallbackReason);
});

it('a volunteer whose graphics device failed before tries it when WebGPU is chosen', async () => {
  await make('auto', 'it was lost again and again');
  const { pledgeBytes, slots, dutyShare } = toyLending;
  volunteer.configure({ backend: 'webgpu', pledgeBytes, slots, dutyShare });
  await network.clock.advance(100);
  expect(backends()).toEqual(['wasm', 'webgpu']);
});

it('a volunteer that is not to be reached directly any more offers itself anew, and keeps its stage', async () => {
  await make('wasm');
  volunteer.offerAgain();
  await assign();
  isDirect = false;
  volunteer.offerAgain();
  const offers = control.sent.filter(({ type }) => type === 'offer');
  expect(offers).toMatchObject([
    { webrtc: true },
    { webrtc: true },
    { webrtc: false, held: [{ range: toyRanges[1] }] },
  ]);
  await assign();
  expect([volunteer.state.phase, worker.loads.length]).toEqual(['serving', 1]);
  volunteer.pause();
  volunteer.offerAgain();
  volunteer.stop();
  volunteer.offerAgain();
  expect(control.sent.filter(({ type }) => type === 'offer')).toHaveLength(3);
});
