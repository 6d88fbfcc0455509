import { expect, test } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import { createWorkerClient, WORKER_SILENCE_MS, type WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { WorkerCalls, WorkerReply, WorkerRequest } from '#shared/wire/worker-message.ts';
import { FakeClock, settle } from '../../../support/fake-clock.ts';

const session = '0123456789abcdef0123456789abcdef' as SessionId;
const startRequest = { backend: 'wasm', keepSubgroups: false } as const;
const info = {
  backend: 'wasm',
  numericClass: 'wasm',
  runtimeVersion: '1.30.0',
  fallbackReason: 'asked for',
  isDeviceFaulty: false,
} as const;
const loadRequest = { probe: true } as WorkerCalls['load']['request'];

/** The thread's end of a port, answering only what a test tells it to. */
class FakeThread implements WorkerPort {
  readonly requests: WorkerRequest[] = [];
  readonly transfers: ArrayBuffer[][] = [];
  isTerminated = false;
  onMessage: (message: WorkerReply) => void = () => undefined;
  onDeath: (reason: string, raw?: string) => void = () => undefined;

  post(message: WorkerRequest, transfer: ArrayBuffer[]): void {
    this.requests.push(message);
    this.transfers.push(transfer);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  answerLast(body: WorkerCalls[keyof WorkerCalls]['reply']): void {
    this.onMessage({ type: 'reply', id: (this.requests.at(-1) as WorkerRequest).id, body });
  }
}

function setUp() {
  const threads: FakeThread[] = [];
  const clock = new FakeClock();
  const lost: ChorusError[] = [];
  const client = createWorkerClient({
    clock,
    spawn: () => {
      const thread = new FakeThread();
      threads.push(thread);
      return thread;
    },
  });
  client.onLost((error) => lost.push(error));
  return { client, clock, lost, threads };
}

async function setUpStarted() {
  const all = setUp();
  const started = all.client.start(startRequest);
  const thread = all.threads[0] as FakeThread;
  thread.answerLast(info);
  await started;
  return { ...all, thread };
}

const input = { kind: 'tokens', start: 0, count: 1, bytes: new Uint8Array(4) } as const;

test('a call resolves with the reply of the same id, whatever the order of replies', async () => {
  const { client, thread } = await setUpStarted();
  const first = client.compute.open(session, 8);
  const second = client.compute.cut(session, 0);
  const [openId, cutId] = thread.requests.slice(-2).map(({ id }) => id) as [number, number];
  thread.onMessage({ type: 'failure', id: cutId, code: 'gap', message: 'no' });
  thread.onMessage({ type: 'reply', id: openId, body: null });
  await expect(first).resolves.toBeUndefined();
  await expect(second).rejects.toMatchObject({ code: 'gap', message: 'no' });
});

test('a failure brings its details, and what the platform said apart from what is said to people', async () => {
  const { client, thread } = await setUpStarted();
  const call = client.compute.open(session, 8);
  const failure = {
    code: 'digest-mismatch',
    message: 'no',
    details: { damaged: [] },
    raw: 'NotReadableError',
  } as const;
  thread.onMessage({ type: 'failure', id: thread.requests.at(-1)?.id ?? -1, ...failure });
  await expect(call).rejects.toMatchObject(failure);
  const another = client.compute.open(session, 8);
  thread.onDeath('the compute thread failed', 'Uncaught RuntimeError: unreachable');
  await expect(another).rejects.toMatchObject({
    message: 'the compute thread failed',
    raw: 'Uncaught RuntimeError: unreachable',
  });
});

test('a thread that dies rejects everything pending with worker-lost and is reported once', async () => {
  const { client, lost, thread } = await setUpStarted();
  const pending = [client.compute.open(session, 8), client.compute.run({ session, input, logitsFrom: 0 })];
  thread.onDeath('out of memory');
  thread.onDeath('again');
  for (const call of pending)
    await expect(call).rejects.toMatchObject({ code: 'worker-lost', message: 'out of memory' });
  expect(lost.map(({ code }) => code)).toEqual(['worker-lost']);
  expect(thread.isTerminated).toBe(true);
});

test('a lost device rejects everything pending with device-lost and ends the thread', async () => {
  const { client, lost, thread } = await setUpStarted();
  const pending = client.compute.run({ session, input, logitsFrom: 0 });
  thread.onMessage({ type: 'lost', code: 'device-lost', message: 'gone' });
  await expect(pending).rejects.toMatchObject({ code: 'device-lost' });
  expect(lost.map(({ code }) => code)).toEqual(['device-lost']);
  expect(thread.isTerminated).toBe(true);
});

test('calls without a thread reject at once, and starting again makes a fresh thread', async () => {
  const { client, thread, threads } = await setUpStarted();
  thread.onDeath('failed');
  await expect(client.compute.open(session, 8)).rejects.toMatchObject({ code: 'worker-lost' });
  const started = client.start(startRequest);
  (threads[1] as FakeThread).answerLast(info);
  await expect(started).resolves.toEqual(info);
});

test('a thread that was prepared is the one that starts', async () => {
  const { client, threads } = setUp();
  await client.prepare(null);
  const prepared = client.prepare('wasm');
  const started = client.start(startRequest);
  const thread = threads[0] as FakeThread;
  thread.onMessage({ type: 'reply', id: thread.requests[0]?.id ?? -1, body: null });
  await prepared;
  expect(thread.requests.map(({ call }) => call)).toEqual(['prepare', 'start']);
  thread.answerLast(info);
  await expect(started).resolves.toEqual(info);
  expect(threads).toHaveLength(1);
});

test('a prepared thread that dies before the start is replaced by it', async () => {
  const { client, threads } = setUp();
  const prepared = client.prepare('wasm');
  threads[0]?.onDeath('failed');
  await expect(prepared).rejects.toMatchObject({ code: 'worker-lost' });
  const started = client.start(startRequest);
  threads[1]?.answerLast(info);
  await expect(started).resolves.toEqual(info);
});

test('preparing leaves a thread that has started alone', async () => {
  const { client, thread, threads } = await setUpStarted();
  await client.prepare('wasm');
  expect([threads.length, thread.requests.length]).toEqual([1, 1]);
});

test('messages and death of a replaced thread are ignored', async () => {
  const { client, lost, thread, threads } = await setUpStarted();
  const started = client.start(startRequest);
  thread.onMessage({ type: 'reply', id: (threads[1] as FakeThread).requests[0]?.id ?? 0, body: null });
  thread.onDeath('terminated');
  (threads[1] as FakeThread).answerLast(info);
  await expect(started).resolves.toEqual(info);
  expect(lost).toEqual([]);
});

test('a thread that is silent too long while calls wait is taken for dead', async () => {
  const { client, clock, lost, thread } = await setUpStarted();
  const pending = client.load(loadRequest, new AbortController().signal);
  const rejected = expect(pending).rejects.toMatchObject({ code: 'worker-lost' });
  await clock.advance(WORKER_SILENCE_MS - 1);
  thread.onMessage({ type: 'progress', phase: 'warm-up', done: 1, total: 3 });
  await clock.advance(WORKER_SILENCE_MS - 1);
  expect(lost).toEqual([]);
  await clock.advance(1);
  await rejected;
  expect(lost).toHaveLength(1);
});

test('no timer is left while nothing is pending', async () => {
  const { client, clock, thread } = await setUpStarted();
  expect(clock.pendingTimers).toBe(0);
  const open = client.compute.open(session, 8);
  expect(clock.pendingTimers).toBe(1);
  thread.answerLast(null);
  await open;
  expect(clock.pendingTimers).toBe(0);
});

test('stopping ends the thread and rejects what is pending with cancelled, without a report of loss', async () => {
  const { client, clock, lost, thread } = await setUpStarted();
  const pending = client.compute.open(session, 8);
  client.stop();
  await expect(pending).rejects.toMatchObject({ code: 'cancelled' });
  expect(thread.isTerminated).toBe(true);
  expect(lost).toEqual([]);
  expect(clock.pendingTimers).toBe(0);
});

test('progress of a load is passed on until the listener is removed', async () => {
  const { client, thread } = await setUpStarted();
  const seen: string[] = [];
  const off = client.onProgress(({ phase, done, total }) => seen.push(`${phase} ${done}/${total}`));
  thread.onMessage({ type: 'progress', phase: 'cut', done: 0, total: 1 });
  off();
  thread.onMessage({ type: 'progress', phase: 'create', done: 0, total: 1 });
  expect(seen).toEqual(['cut 0/1']);
});

test('an aborted load rejects at once and unloads what comes of it', async () => {
  const { client, thread } = await setUpStarted();
  const abort = new AbortController();
  const pending = client.load(loadRequest, abort.signal);
  abort.abort();
  await expect(pending).rejects.toMatchObject({ code: 'cancelled' });
  expect(thread.requests.slice(-2).map(({ call }) => call)).toEqual(['load', 'unload']);
});

test('a load that was aborted before it began posts nothing', async () => {
  const { client, thread } = await setUpStarted();
  const abort = new AbortController();
  abort.abort();
  await expect(client.load(loadRequest, abort.signal)).rejects.toMatchObject({ code: 'cancelled' });
  expect(thread.requests).toHaveLength(1);
});

test('a run leaves the bytes of its caller alone and transfers only their copy', async () => {
  const { client, thread } = await setUpStarted();
  const frame = new Uint8Array(100);
  const bytes = frame.subarray(10, 14);
  void client.compute.run({ session, input: { ...input, bytes }, logitsFrom: 0 }).catch(() => undefined);
  expect(bytes).toHaveLength(4);
  expect(thread.transfers.at(-1)?.map(({ byteLength }) => byteLength)).toEqual([4]);
  client.stop();
  await settle();
});

test('the queue time of a run is all the time in which the thread did not work on it', async () => {
  const { client, clock, thread } = await setUpStarted();
  const pending = client.compute.run({ session, input, logitsFrom: 0 });
  await clock.advance(10);
  const timings = { queueUs: 1, decodeUs: 100, runUs: 6000, encodeUs: 900 };
  thread.answerLast({ output: input, timings });
  expect((await pending).timings).toEqual({ ...timings, queueUs: 3000 });
});

test('a thread that cannot be made rejects the start', async () => {
  const client = createWorkerClient({
    clock: new FakeClock(),
    spawn: () => {
      throw new Error('blocked by policy');
    },
  });
  await expect(client.start(startRequest)).rejects.toThrow('blocked by policy');
});

test('a thread is told another share of the time while it works, and nothing waits for it', async () => {
  const { client, lost, thread } = await setUpStarted();
  client.pace(0.5);
  expect(thread.requests.at(-1)).toMatchObject({ call: 'pace', body: { dutyShare: 0.5 } });
  thread.answerLast(null);
  client.stop();
  client.pace(0.25);
  await settle();
  expect(lost).toEqual([]);
});
