import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { createWorkerClient, type WorkerClient, type WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { WorkerCalls } from '#shared/wire/worker-message.ts';
import { systemClock } from '../../signal-server/machine/system-clock.ts';
import { spawnWorkerThread } from '../../signal-server/node-peer/worker-thread.ts';
import { type ImportedWren, importWren } from '../support/imported-wren.ts';

const session = 'a'.repeat(32) as SessionId;
const range: StageRange = { start: 0, end: 2, embedding: true, head: false };
const input: Rows = { kind: 'tokens', start: 0, count: 2, bytes: new Uint8Array(Uint32Array.of(5, 900).buffer) };
const startRequest = { backend: 'auto', keepSubgroups: false } as const;
const never = new AbortController().signal;

// Each test starts a thread and loads a stage, some of them twice; on a busy machine that takes a while.
vi.setConfig({ testTimeout: 60_000 });

let wren: ImportedWren;
let client: WorkerClient;
let ports: WorkerPort[];

beforeAll(async () => {
  wren = await importWren();
}, 120_000);

beforeEach(() => {
  ports = [];
  const spawn = (): WorkerPort => {
    const port = spawnWorkerThread();
    ports.push(port);
    return port;
  };
  client = createWorkerClient({ spawn, clock: systemClock });
});

afterEach(() => client.stop());

function loadRequest(): WorkerCalls['load']['request'] {
  return { manifest: wren.manifest, range, blobs: wren.blobs(range), probe: true, maxSessions: 2 };
}

async function serve(): Promise<Rows> {
  await client.start(startRequest);
  await client.load(loadRequest(), never);
  await client.compute.open(session, 64);
  return (await client.compute.run({ session, input, logitsFrom: 0 })).output;
}

test('a thread in Node falls back to WASM, says why, and serves a stage', async () => {
  const info = await client.start(startRequest);
  const fallbackReason = 'this browser has no WebGPU';
  expect(info).toMatchObject({ backend: 'wasm', numericClass: ENGINE_CLASS, fallbackReason });
  expect(info.runtimeVersion).toBe('1.30.0');
  const loaded = await client.load(loadRequest(), never);
  expect(loaded.probeError).toBeLessThan(1e-4);
  expect(loaded.layerMs).toBeGreaterThan(0);
  expect(loaded.memoryBytes).toBeGreaterThan(1e6);
  await client.compute.open(session, 64);
  const { output, timings } = await client.compute.run({ session, input, logitsFrom: 0 });
  expect(output).toMatchObject({ kind: 'hidden', start: 0, count: 2 });
  expect(timings.runUs).toBeGreaterThan(0);
  await client.compute.cut(session, 0);
  expect((await client.compute.run({ session, input, logitsFrom: 0 })).output).toEqual(output);
  await client.compute.close(session);
  await expect(client.compute.run({ session, input, logitsFrom: 0 })).rejects.toMatchObject({
    code: 'unknown-session',
  });
});

test('WebGPU asked for by name is refused where there is none', async () => {
  const started = client.start({ backend: 'webgpu', keepSubgroups: false });
  await expect(started).rejects.toMatchObject({ code: 'unsupported' });
});

test('calls before a stage is loaded are refused', async () => {
  await client.start(startRequest);
  await expect(client.compute.open(session, 64)).rejects.toMatchObject({ code: 'unknown-session' });
});

test('loading again ends the sessions of the stage before', async () => {
  await serve();
  await client.load(loadRequest(), never);
  await expect(client.compute.run({ session, input, logitsFrom: 0 })).rejects.toMatchObject({
    code: 'unknown-session',
  });
});

test('an aborted load leaves no stage behind, and another can be loaded', async () => {
  await client.start(startRequest);
  const abort = new AbortController();
  const loading = client.load(loadRequest(), abort.signal);
  abort.abort();
  await expect(loading).rejects.toMatchObject({ code: 'cancelled' });
  await client.unload();
  await expect(client.compute.open(session, 64)).rejects.toMatchObject({ code: 'unknown-session' });
  await client.load(loadRequest(), never);
  await expect(client.compute.open(session, 64)).resolves.toBeUndefined();
});

test('a thread that dies is reported, and a fresh one gives the same bytes', async () => {
  const before = await serve();
  const lost = new Promise<ChorusError>((resolve) => client.onLost(resolve));
  const pending = client.compute.cut(session, 0);
  (ports[0] as WorkerPort).terminate();
  await expect(pending).rejects.toMatchObject({ code: 'worker-lost' });
  expect((await lost).code).toBe('worker-lost');
  expect(await serve()).toEqual(before);
  expect(ports).toHaveLength(2);
});
