import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { ChorusError } from '#shared/errors.ts';
import { DRAIN_TIMEOUT_MS } from '#shared/limits.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { LendingSettings, Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { CheckDriver, shadowedRoute } from '../../../support/check-driver.ts';
import { GREEDY, toyAnswer, toyDigest, toyManifest, toyManifestBytes } from '../../../support/toy-model.ts';
import { serverIdentity, type ToyControl, toyIdentity, ToyNetwork, toyRanges } from '../../../support/toy-network.ts';
import { evidenceOf } from '../../../support/toy-receipt.ts';
import type { ToyWorker } from '../../../support/toy-worker.ts';
import { toyLending, toyVolunteer } from '../../../support/toy-volunteer.ts';

const prompt = [4, 5, 6];
const request = { promptTokens: prompt, maxNewTokens: 12, sampling: GREEDY };
const middle = toyRanges[1] as StageRange;
let network: ToyNetwork;
let control: ToyControl;
let worker: ToyWorker;
let manifestAnswer: Envelope;
let volunteer: Volunteer;
let assignments: number;

async function makeVolunteer(change: Partial<LendingSettings> = {}): Promise<void> {
  const lending = { ...toyLending, ...change };
  ({ volunteer, control, worker } = await toyVolunteer(network, lending, () => Promise.resolve(manifestAnswer)));
}

beforeEach(async () => {
  network = new ToyNetwork();
  manifestAnswer = await signEnvelope(serverIdentity, MANIFEST_PAYLOAD_TYPE, toyManifestBytes);
  await makeVolunteer();
  assignments = 0;
});

const said = (type: PeerControlMessage['type']) => control.sent.filter((message) => message.type === type);
const phase = () => volunteer.state.phase;

async function assign(range: StageRange = middle): Promise<void> {
  control.say({ type: 'assign', assignment: ++assignments, model: toyDigest, range, reason: 'thin' });
  await network.clock.advance(100);
}

async function serve(): Promise<void> {
  volunteer.start();
  await network.clock.advance(10);
  await assign();
  // It takes the place of the volunteer that held the middle.
  const replaced = network.volunteers.findIndex(({ stage }) => stage === 1);
  network.links.kill(network.volunteers[replaced]!.id);
  network.volunteers[replaced] = { ...network.volunteers[replaced]!, id: control.id, numericClass: 'webgpu' };
}

const ask = (onEvent?: (event: AnswerEvent) => void) => network.ask(network.conversation(), request, onEvent);

describe('a volunteer', () => {
  it('does nothing by itself', async () => {
    await network.clock.advance(60_000);
    expect([phase(), worker.isRunning, control.sent, network.clock.pendingTimers]).toEqual(['off', false, [], 0]);
  });

  it('offers itself, takes the stage it is given, says ready and serves', async () => {
    const phases = new Set<string>();
    volunteer.onChange(() => phases.add(phase()));
    await serve();
    expect([...phases]).toEqual(['connecting', 'downloading', 'loading', 'serving']);
    expect(said('offer')).toMatchObject([{ backend: 'webgpu', slots: 2, held: [], layerMs: null }]);
    expect(said('ready')).toEqual([{ type: 'ready', assignment: 1, layerMs: 0.5, probeError: 0.001 }]);
    const { tokens, events } = await ask();
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    // In the class it offered itself in, on the runtime of the model.
    expect(evidenceOf(events).attestations.map(({ replica }) => replica)).toContain(control.id);
    await network.clock.advance(1000);
    expect(volunteer.state).toMatchObject({
      model: { name: 'toy', digest: toyDigest },
      range: middle,
      memoryBytes: 1000,
      tokensServed: prompt.length + tokens.length - 1,
    });
    expect(volunteer.state.tokensPerSecond).toBeGreaterThan(0);
    const inHistory = volunteer.state.history.reduce((sum, second) => sum + second.tokens, 0);
    expect(inHistory).toBe(volunteer.state.tokensServed);
  });

  it('says so where its owner chose the graphics device, and nothing where it is free to take another', async () => {
    volunteer.start();
    await network.clock.advance(10);
    expect(said('offer')[0]).not.toHaveProperty('hasProcessor');
    await makeVolunteer({ backend: 'webgpu' });
    volunteer.start();
    await network.clock.advance(10);
    expect(said('offer')).toMatchObject([{ backend: 'webgpu', hasProcessor: false }]);
  });

  it('counts the spans that it stood for, its own and those that it ran again', async () => {
    await serve();
    const checker = new CheckDriver(network);
    expect(checker.primaries[1]).toBe(control.id);
    await checker.answer();
    await checker.check(0, 32);
    await checker.check(32, 43);
    const other = network.addVolunteer(1);
    const stages = shadowedRoute(network, toyIdentity('second').id).stages.map((stage, i) =>
      i === 1 ? { ...stage, primary: { ...stage.primary, id: other.id }, shadows: [stage.primary] } : stage,
    );
    const route = { ...network.route(toyIdentity('second').id, 64)!, stages };
    const second = new CheckDriver(network, 'second', route);
    await second.answer();
    await second.check(0, 32);
    await network.clock.advance(1000);
    expect(volunteer.state).toMatchObject({ spansCommitted: 2, spansShadowed: 1 });
    volunteer.stop();
    expect(volunteer.state).toMatchObject({ spansCommitted: 2, spansShadowed: 1 });
  });

  it('tells the server how it is in heartbeats', async () => {
    await serve();
    await ask();
    await network.clock.advance(2000);
    const heartbeat = said('heartbeat').at(-1);
    expect(heartbeat).toMatchObject({ sessions: 1, hidden: false });
    // The measure of now, and no longer what the probe measured.
    expect(heartbeat?.type === 'heartbeat' && heartbeat.layerMs).toBeGreaterThan(0.5);
    expect(said('heartbeat').at(-1)).toHaveProperty('tokens', volunteer.state.tokensServed);
  });

  it('computes for the share of the time that is lent, and says how slow that makes it', async () => {
    await makeVolunteer({ dutyShare: 0.25 });
    await serve();
    const startMs = network.clock.nowMs();
    const { tokens } = await ask();
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    // Each lap runs for 2 ms here, and rests for 6.
    expect(network.clock.nowMs() - startMs).toBeGreaterThan(11 * 8);
    expect(said('ready')).toMatchObject([{ layerMs: 2 }]);
  });

  it('shows why it has nothing to do', async () => {
    volunteer.start();
    await network.clock.advance(10);
    control.say({ type: 'idle', reason: 'All layers are covered.' });
    expect(volunteer.state).toMatchObject({ phase: 'idle', message: 'All layers are covered.' });
  });

  it('offers what it held before', async () => {
    const held = [{ model: toyDigest, range: middle }];
    await makeVolunteer({ held });
    volunteer.start();
    await network.clock.advance(10);
    expect(said('offer')).toMatchObject([{ held }]);
  });
});

describe('a volunteer refuses an assignment', () => {
  it.each<[string, string, () => Promise<void>]>([
    ['whose model asks for another runtime', 'pin-mismatch', async () => void (worker.runtimeVersion = '1.0.0')],
    [
      'whose manifest the server did not sign',
      'bad-signature',
      async () => {
        manifestAnswer = await signEnvelope(toyIdentity('x'), MANIFEST_PAYLOAD_TYPE, toyManifestBytes);
      },
    ],
    [
      'whose manifest is another one',
      'digest-mismatch',
      async () => {
        const other = utf8(JSON.stringify({ ...toyManifest, name: 'other' }));
        manifestAnswer = await signEnvelope(serverIdentity, MANIFEST_PAYLOAD_TYPE, other);
      },
    ],
    ['whose manifest is no envelope', 'bad-message', async () => void (manifestAnswer = {} as Envelope)],
    [
      'that needs more memory than it has',
      'out-of-memory',
      async () => void (worker.loadFailure = { webgpu: new ChorusError('out-of-memory', 'too large') }),
    ],
  ])('%s with %s, and waits for another', async (_, code, spoil) => {
    await spoil();
    volunteer.start();
    await network.clock.advance(10);
    await assign();
    expect(said('failed')).toMatchObject([{ assignment: 1, code }]);
    expect(volunteer.state).toMatchObject({ phase: 'idle', error: { code }, model: null, range: null });
    expect(said('ready')).toEqual([]);
  });

  it('of layers that the model does not have', async () => {
    volunteer.start();
    await network.clock.advance(10);
    await assign({ start: 2, end: 40, embedding: false, head: false });
    expect(said('failed')).toMatchObject([{ code: 'bad-message' }]);
  });
});

describe('a volunteer whose device computes wrongly', () => {
  const wrong = new ChorusError('probe-failed', 'the probe differs by 0.4');

  it('goes on without WebGPU where it may choose', async () => {
    worker.loadFailure = { webgpu: wrong };
    volunteer.start();
    await network.clock.advance(10);
    await assign();
    expect(worker.starts.map(({ backend }) => backend)).toEqual(['auto', 'wasm']);
    expect(said('failed')).toEqual([]);
    await assign();
    expect(phase()).toBe('serving');
  });

  it('says so where it may not', async () => {
    await makeVolunteer({ backend: 'wasm' });
    worker.loadFailure = { wasm: wrong };
    volunteer.start();
    await network.clock.advance(10);
    await assign();
    expect(said('failed')).toMatchObject([{ code: 'probe-failed' }]);
    expect(phase()).toBe('idle');
  });
});

describe('a volunteer that is given another stage', () => {
  const other = toyRanges[2] as StageRange;

  it('lets running sessions end first', async () => {
    await serve();
    const { requester } = network.requester();
    const conversation = requester.openConversation({ manifest: toyManifest, digest: toyDigest });
    let isAssigned = false;
    const { tokens } = await network.ask(conversation, request, (event) => {
      if (event.type !== 'token' || isAssigned) return;
      isAssigned = true;
      control.say({ type: 'assign', assignment: 2, model: toyDigest, range: other, reason: 'moved' });
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(network.routes).toHaveLength(1);
    expect(worker.loads).toHaveLength(1);
    conversation.close();
    await network.clock.advance(100);
    expect(worker.loads.map(({ range }) => range)).toEqual([middle, other]);
    expect(said('ready').at(-1)).toMatchObject({ assignment: 2 });
    expect(volunteer.state.range).toEqual(other);
  });

  it('waits for them no longer than its limit', async () => {
    await serve();
    await ask();
    await assign(other);
    expect(worker.loads).toHaveLength(1);
    await network.clock.advance(DRAIN_TIMEOUT_MS);
    expect(worker.loads).toHaveLength(2);
    expect(network.releases).toMatchObject([{ faults: [{ volunteer: control.id, code: 'cancelled' }] }]);
  });

  it('follows the last of several assignments', async () => {
    volunteer.start();
    await network.clock.advance(10);
    control.say({ type: 'assign', assignment: 1, model: toyDigest, range: middle, reason: '' });
    control.say({ type: 'assign', assignment: 2, model: toyDigest, range: other, reason: '' });
    await network.clock.advance(200);
    expect(said('ready')).toMatchObject([{ assignment: 2 }]);
    expect(said('failed')).toEqual([]);
  });

  it('shows what it still holds when it cannot take it', async () => {
    await serve();
    manifestAnswer = {} as Envelope;
    await assign(other);
    expect(volunteer.state).toMatchObject({ phase: 'idle', range: middle, model: { digest: toyDigest } });
  });

  it('need not load what it has, and told the server the class that it came to once', async () => {
    worker.loadsAs = { backend: 'wasm', numericClass: 'int16/0123456789abcdef', fallbackReason: 'it is faster' };
    await serve();
    await assign();
    expect(worker.loads).toHaveLength(1);
    expect(said('ready')).toMatchObject([{ assignment: 1 }, { assignment: 2 }]);
    expect(said('ready').map((ready) => 'numericClass' in ready)).toEqual([true, false]);
    expect(volunteer.state.backend).toMatchObject(worker.loadsAs);
  });
});

describe('a volunteer that the server has no more work for', () => {
  const message = 'suspended until tomorrow';
  const idle = () => control.say({ type: 'idle', reason: message });
  beforeEach(serve);

  it('lets running sessions end, then unloads the stage', async () => {
    const conversation = network.conversation();
    const { tokens } = await network.ask(conversation, request, ({ type }) => type === 'routed' && idle());
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(volunteer.state).toMatchObject({ phase: 'idle', range: middle, memoryBytes: 1000 });
    conversation.close();
    await network.clock.advance(100);
    expect(volunteer.state).toMatchObject({ phase: 'idle', message, model: null, range: null, memoryBytes: 0 });
    expect(worker.isLoaded).toBe(false);
  });

  it('keeps the stage where it is given back before these have ended', async () => {
    await ask();
    idle();
    await assign();
    await network.clock.advance(DRAIN_TIMEOUT_MS);
    expect([phase(), worker.loads.length, worker.isLoaded]).toEqual(['serving', 1, true]);
    const another = network.requester('another').requester.openConversation(network.model);
    expect((await network.ask(another, request)).tokens).toEqual(toyAnswer(prompt, 12));
    expect(network.routes.at(-1)!.stages[1]!.primary.id).toBe(control.id);
  });
});

describe('a volunteer whose thread dies', () => {
  it('fails its sessions over, replaces the thread and offers itself again with what it held', async () => {
    await serve();
    network.addVolunteer(1);
    let isLost = false;
    const { tokens } = await ask((event) => {
      if (event.type !== 'token' || isLost) return;
      isLost = true;
      worker.lose();
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect(network.releases[0]).toMatchObject({ faults: [{ volunteer: control.id, code: 'device-lost' }] });
    expect(said('pause')).toHaveLength(1);
    expect(worker.starts).toHaveLength(2);
    expect(said('offer')).toHaveLength(2);
    await assign();
    expect(phase()).toBe('serving');
  });

  it('while it loads gets the assignment again with the next offer', async () => {
    volunteer.start();
    await network.clock.advance(10);
    control.say({ type: 'assign', assignment: 1, model: toyDigest, range: middle, reason: '' });
    await network.clock.advance(20);
    worker.lose();
    await network.clock.advance(100);
    expect(said('failed')).toEqual([]);
    expect(said('offer')).toHaveLength(2);
  });

  it('cannot be made at all turns off and says why', async () => {
    worker.start = () => Promise.reject(new Error('threads are forbidden here'));
    volunteer.start();
    await network.clock.advance(10);
    expect(volunteer.state).toMatchObject({ phase: 'failed', error: { message: 'threads are forbidden here' } });
  });

  it('again and again turns off', async () => {
    volunteer.start();
    for (let i = 0; i < 4; i++) {
      await network.clock.advance(10);
      worker.lose();
    }
    expect(volunteer.state).toMatchObject({ phase: 'failed', error: { code: 'device-lost' } });
    expect(said('withdraw')).toHaveLength(1);
    expect(network.clock.pendingTimers).toBe(0);
  });
});

describe('a volunteer whose server', () => {
  it('comes back offers itself again, and is ready without loading', async () => {
    await serve();
    control.become({ type: 'reconnecting', attempt: 1, delayMs: 3000, reason: 'restart' });
    expect(volunteer.state.message).toContain('3 s');
    control.become({ type: 'open' });
    expect(said('offer').at(-1)).toMatchObject({ held: [{ range: middle }], layerMs: 0.5 });
    await assign();
    expect(phase()).toBe('serving');
    expect(worker.loads).toHaveLength(1);
  });

  it('is gone for good turns off and says why', async () => {
    await serve();
    control.become({ type: 'closed', code: 'protocol-version', reason: 'reload the page' });
    expect(volunteer.state).toMatchObject({ phase: 'failed', error: { code: 'protocol-version' } });
    expect(worker.isRunning).toBe(false);
  });
});

describe('a person can', () => {
  it('pause it: running answers go on, new ones go elsewhere', async () => {
    await serve();
    const other = network.addVolunteer(1);
    const conversation = network.conversation();
    await network.ask(conversation, request);
    volunteer.pause();
    expect(said('pause')).toHaveLength(1);
    const history = [...prompt, 9, 9];
    const { tokens } = await network.ask(conversation, { ...request, promptTokens: history });
    expect(tokens).toEqual(toyAnswer(history, 12));
    expect(network.routes).toHaveLength(1);
    const { requester } = network.requester('another');
    await network.ask(requester.openConversation({ manifest: toyManifest, digest: toyDigest }), request);
    expect(network.routes.at(-1)?.stages[1]?.primary.id).toBe(other.id);
    expect(network.releases[0]?.faults).toEqual([{ volunteer: control.id, code: 'all-busy' }]);
  });

  it('resume it without loading again', async () => {
    await serve();
    volunteer.pause();
    volunteer.resume();
    await assign();
    expect(phase()).toBe('serving');
    expect((await ask()).tokens).toEqual(toyAnswer(prompt, 12));
    expect(worker.loads).toHaveLength(1);
  });

  it('pause it while it loads', async () => {
    volunteer.start();
    await network.clock.advance(10);
    control.say({ type: 'assign', assignment: 1, model: toyDigest, range: middle, reason: '' });
    await network.clock.advance(20);
    volunteer.pause();
    await network.clock.advance(200);
    expect([phase(), said('ready')]).toEqual(['paused', []]);
  });

  it('finish it: it turns off when the running sessions have ended', async () => {
    await serve();
    const conversation = network.conversation();
    await network.ask(conversation, request);
    const finished = volunteer.finish();
    await network.clock.advance(1000);
    expect(phase()).toBe('finishing');
    conversation.close();
    await network.until(finished);
    expect([phase(), worker.isRunning]).toEqual(['off', false]);
    expect(said('withdraw')).toHaveLength(1);
  });

  it('stop it at once: its sessions go on elsewhere', async () => {
    await serve();
    network.addVolunteer(1);
    let isStopped = false;
    const { tokens } = await ask((event) => {
      if (event.type !== 'token' || isStopped) return;
      isStopped = true;
      volunteer.stop();
    });
    expect(tokens).toEqual(toyAnswer(prompt, 12));
    expect([phase(), worker.isRunning]).toEqual(['off', false]);
    expect(network.releases[0]?.faults).toEqual([{ volunteer: control.id, code: 'cancelled' }]);
  });

  it('stop it: it shows nothing held any more, but what it served', async () => {
    await serve();
    await ask();
    await network.clock.advance(2000);
    volunteer.stop();
    expect(volunteer.state).toMatchObject({
      model: null,
      range: null,
      backend: null,
      probeError: null,
      memoryBytes: 0,
    });
    expect(volunteer.state.tokensServed).toBeGreaterThan(0);
  });

  it('start it again after it was stopped', async () => {
    await serve();
    volunteer.stop();
    volunteer.start();
    await network.clock.advance(10);
    await assign();
    expect(phase()).toBe('serving');
    expect(volunteer.state.tokensServed).toBe(0);
  });
});
