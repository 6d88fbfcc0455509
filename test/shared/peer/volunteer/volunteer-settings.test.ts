import { beforeEach, describe, expect, it } from 'vitest';
import { DRAIN_TIMEOUT_MS } from '#shared/limits.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { Lending, Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { GREEDY, toyDigest } from '../../../support/toy-model.ts';
import { type ToyControl, ToyNetwork, toyRanges } from '../../../support/toy-network.ts';
import type { ToyWorker } from '../../../support/toy-worker.ts';
import { toyLending, toyVolunteer } from '../../../support/toy-volunteer.ts';

const request = { promptTokens: [4, 5, 6], maxNewTokens: 12, sampling: GREEDY };
const middle = toyRanges[1] as StageRange;
const settings: Lending = { backend: 'auto', pledgeBytes: 1_000_000, slots: 2, dutyShare: 1 };

let network: ToyNetwork;
let control: ToyControl;
let worker: ToyWorker;
let volunteer: Volunteer;
let assignments: number;
/** Whether its device talks to others directly. */
let isDirect: boolean;

beforeEach(async () => {
  network = new ToyNetwork();
  ({ volunteer, control, worker } = await toyVolunteer(network, {
    ...{ ...toyLending, ...settings },
    get webrtc() {
      return isDirect;
    },
  }));
  [assignments, isDirect] = [0, true];
});

const said = <Type extends PeerControlMessage['type']>(type: Type) =>
  control.sent.filter((message): message is Extract<PeerControlMessage, { type: Type }> => message.type === type);
const phase = () => volunteer.state.phase;

async function assign(): Promise<void> {
  control.say({ type: 'assign', assignment: ++assignments, model: toyDigest, range: middle, reason: 'thin' });
  await network.clock.advance(100);
}

/** In the place of the volunteer that held the middle. */
async function serve(): Promise<void> {
  volunteer.start();
  await network.clock.advance(10);
  await assign();
  const replaced = network.volunteers.findIndex(({ stage }) => stage === 1);
  network.links.kill(network.volunteers[replaced]!.id);
  network.volunteers[replaced] = { ...network.volunteers[replaced]!, id: control.id, numericClass: 'webgpu' };
}

/** A conversation whose session stays open after its answer. */
async function answered() {
  const conversation = network.conversation();
  await network.ask(conversation, request);
  return conversation;
}

describe('a person can change, while it works,', () => {
  it('how much of its time it lends', async () => {
    await serve();
    volunteer.configure({ ...settings, dutyShare: 0.25 });
    const startMs = network.clock.nowMs();
    await answered();
    expect(network.clock.nowMs() - startMs).toBeGreaterThan(11 * 8);
    expect(worker.loads).toHaveLength(1);
  });

  it('whether it talks to others directly, also after another setting', async () => {
    await serve();
    volunteer.configure({ ...settings, dutyShare: 0.5 });
    isDirect = false;
    volunteer.offerAgain();
    isDirect = true;
    volunteer.offerAgain();
    expect(said('offer').map(({ webrtc }) => webrtc)).toEqual([true, false, true]);
  });

  it('how many sessions it runs: its stage is loaded for as many, once the running ones have ended', async () => {
    await serve();
    const conversation = await answered();
    volunteer.configure({ ...settings, slots: 5 });
    expect(said('offer').at(-1)).toMatchObject({ slots: 5, held: [{ model: toyDigest, range: middle }] });
    await assign();
    expect(worker.loads).toHaveLength(1);
    conversation.close();
    await network.clock.advance(100);
    expect(worker.loads.map(({ maxSessions }) => maxSessions)).toEqual([2, 5]);
    expect(phase()).toBe('serving');
  });

  it('the memory it lends', async () => {
    await serve();
    volunteer.configure({ ...settings, pledgeBytes: 5_000_000 });
    expect(said('offer').map(({ pledgeBytes }) => pledgeBytes)).toEqual([1_000_000, 5_000_000]);
  });

  it('what it computes with: the running sessions end first, then another thread offers itself', async () => {
    await serve();
    const conversation = await answered();
    volunteer.configure({ ...settings, backend: 'wasm' });
    expect([phase(), said('pause').length]).toEqual(['loading', 1]);
    await network.clock.advance(100);
    expect(worker.starts).toHaveLength(1);
    conversation.close();
    await network.clock.advance(100);
    expect(worker.starts.map(({ backend }) => backend)).toEqual(['auto', 'wasm']);
    expect(said('offer').at(-1)).toMatchObject({ backend: 'wasm' });
    await assign();
    expect(phase()).toBe('serving');
  });

  it('what it computes with, pause it meanwhile, and go on with that', async () => {
    await serve();
    volunteer.configure({ ...settings, backend: 'wasm' });
    volunteer.pause();
    await network.clock.advance(100);
    expect([phase(), worker.starts.at(-1)?.backend]).toEqual(['paused', 'wasm']);
    volunteer.resume();
    expect(said('offer').at(-1)).toMatchObject({ backend: 'wasm' });
  });

  it('their mind while it changes over', async () => {
    await serve();
    volunteer.configure({ ...settings, backend: 'wasm' });
    volunteer.configure({ ...settings, backend: 'webgpu' });
    await network.clock.advance(DRAIN_TIMEOUT_MS);
    expect(worker.starts.map(({ backend }) => backend)).toEqual(['auto', 'webgpu']);
    expect(said('offer').at(-1)).toMatchObject({ backend: 'webgpu' });
  });

  it('nothing by naming the kind of device it computes with already', async () => {
    await serve();
    volunteer.configure({ ...settings, backend: 'webgpu' });
    await network.clock.advance(100);
    expect([worker.starts.length, said('offer').length, phase()]).toEqual([1, 1, 'serving']);
  });
});

it('what is set while it is off counts from the next start', async () => {
  volunteer.configure({ ...settings, backend: 'wasm', slots: 3 });
  expect(control.sent).toEqual([]);
  volunteer.start();
  await network.clock.advance(10);
  expect(said('offer')).toMatchObject([{ backend: 'wasm', slots: 3 }]);
});
