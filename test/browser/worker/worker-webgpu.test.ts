import { Tokenizer } from '@huggingface/tokenizers';
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { createWorkerClient, type WorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import type { Rows } from '#shared/rows/rows.ts';
import tokenizerJson from '../../../models/wren/tokenizer.json';
import tokenizerConfig from '../../../models/wren/tokenizer_config.json';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { spawnWorker } from '../../../web/network/worker-client.ts';
import { ComputeHost } from '../../../worker/compute-host.ts';
import { type FailingWorker, loadRequest, readManifest, spawnFailingWorker } from '../../support/browser-compute.ts';
import { isThorough } from '../../support/effort.ts';
import { conversations } from '../../support/prompts.ts';

const PROMPTS = 32;
const session = 'a'.repeat(32) as SessionId;
const other = 'b'.repeat(32) as SessionId;
const whole: StageRange = { start: 0, end: 8, embedding: true, head: true };
const middle: StageRange = { start: 3, end: 4, embedding: false, head: false };
const never = new AbortController().signal;
const url = inject('modelUrl');
const clock = pageClock();

let manifest: Manifest;

// An emulated GPU shares its cores with whatever else they do, and takes many times as long beside it.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

beforeAll(async () => {
  manifest = await readManifest(url);
});

function hiddenRows(count: number, start: number): Rows {
  const halves = Uint16Array.from({ length: count * 256 }, (_, i) => 0x3000 + ((i * 7919) % 0x800));
  return { kind: 'hidden', start, count, bytes: new Uint8Array(halves.buffer) };
}

describe('a thread with WebGPU on SwiftShader', () => {
  let client: WorkerClient;

  beforeEach(() => {
    client = createWorkerClient({ spawn: spawnWorker, clock });
  });

  afterEach(() => client.stop());

  test('is refused by the probe while subgroups are kept, however good its single positions are', async () => {
    const info = await client.start({ backend: 'webgpu', keepSubgroups: true });
    expect(info).toMatchObject({ backend: 'webgpu', numericClass: 'webgpu/google/swiftshader-subgroups' });
    const loading = client.load(await loadRequest(url, manifest, middle), never);
    await expect(loading).rejects.toMatchObject({ code: 'probe-failed' });
    await expect(client.compute.open(session, 64)).rejects.toMatchObject({ code: 'unknown-session' });
  });

  test('is passed over for WASM where there is a choice, as it is emulated', async () => {
    const info = await client.start({ backend: 'auto', keepSubgroups: false });
    expect(info).toMatchObject({
      backend: 'wasm',
      numericClass: ENGINE_CLASS,
      fallbackReason: 'the only graphics adapter is emulated in software',
    });
    const loaded = await client.load(await loadRequest(url, manifest, middle), never);
    expect(loaded.probeError).toBeLessThan(1e-4);
  });
});

test('a graphics device that turns out slower than the processor gives its stage to it', async () => {
  const host = new ComputeHost({
    gpu: posing(navigator.gpu),
    clock,
    onProgress: () => undefined,
    onDeviceLost: () => undefined,
  });
  const started = await host.start({ backend: 'auto', keepSubgroups: false });
  expect(started.numericClass).toMatch(/^webgpu\/pretended/);
  const loaded = await host.load({ ...(await loadRequest(url, manifest, middle)), probe: false });
  expect(loaded).toMatchObject({ backend: 'wasm', numericClass: ENGINE_CLASS });
  expect(loaded.fallbackReason).toMatch(
    /^a layer takes [\d.]+ ms on the graphics device and [\d.]+ ms on the processor$/,
  );
  await host.unload();
});

/** The emulated GPU under a name that does not say so. */
function posing(gpu: GPU): GPU {
  return {
    async requestAdapter(options?: GPURequestAdapterOptions) {
      const adapter = await gpu.requestAdapter(options);
      const info = { vendor: 'pretended', architecture: 'hardware', isFallbackAdapter: false };
      return new Proxy(adapter!, {
        get(target, name) {
          if (name === 'info') return info;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  } as unknown as GPU;
}

test('a thread without subgroups serves sessions apart, and after a lost device or a dead thread a fresh one gives the same bytes', async () => {
  const workers: FailingWorker[] = [];
  const spawn = () => {
    const worker = spawnFailingWorker();
    workers.push(worker);
    return worker.port;
  };
  const client = createWorkerClient({ spawn, clock });
  const lost: ChorusError[] = [];
  client.onLost((error) => lost.push(error));
  const request = await loadRequest(url, manifest, middle);
  const run = (id: SessionId, input: Rows) => client.compute.run({ session: id, input, logitsFrom: 0 });
  const serve = async (): Promise<Rows> => {
    await client.start({ backend: 'webgpu', keepSubgroups: false });
    const loaded = await client.load(request, never);
    expect(loaded).toMatchObject({ numericClass: 'webgpu/google/swiftshader', fallbackReason: null });
    expect(loaded.probeError).toBeLessThan(1e-5);
    await client.compute.open(session, 64);
    const { output, timings } = await run(session, hiddenRows(3, 0));
    expect(timings.runUs).toBeGreaterThan(0);
    return output;
  };
  const expected = await serve();

  const next = (await run(session, hiddenRows(1, 3))).output;
  await client.compute.cut(session, 0);
  await client.compute.open(other, 64);
  const again = (await run(session, hiddenRows(3, 0))).output;
  await run(other, hiddenRows(2, 0));
  expect(again).toEqual(expected);
  expect((await run(session, hiddenRows(1, 3))).output).toEqual(next);

  const running = run(session, hiddenRows(30, 4));
  workers[0]?.loseDevice();
  await expect(running).rejects.toMatchObject({ code: 'device-lost' });
  await expect(client.compute.cut(session, 0)).rejects.toMatchObject({ code: 'worker-lost' });
  expect(await serve()).toEqual(expected);

  const pending = run(session, hiddenRows(30, 3));
  workers[1]?.crash();
  await expect(pending).rejects.toMatchObject({ code: 'worker-lost' });
  expect(lost.map(({ code }) => code)).toEqual(['device-lost', 'worker-lost']);
  client.stop();
});

// The probe above compares a layer's rows with the reference each time; a whole model takes the emulated GPU a minute.
if (isThorough)
  test(`WebGPU and WASM choose the same greedy tokens after ${PROMPTS} prompts`, { timeout: 600_000 }, async () => {
    const tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);
    const prompts = conversations
      .filter((conversation) => conversation.length === 1)
      .map(([turn]) => `<|im_start|>user\n${turn?.content}<|im_end|>\n<|im_start|>assistant\n`)
      .map((text) => tokenizer.encode(text, { add_special_tokens: false }).ids)
      .sort((a, b) => a.length - b.length)
      .slice(0, PROMPTS);
    expect(prompts).toHaveLength(PROMPTS);
    const request = { ...(await loadRequest(url, manifest, whole)), probe: false };
    const answers: number[][][] = [];
    for (const backend of ['wasm', 'webgpu'] as const) {
      const client = createWorkerClient({ spawn: spawnWorker, clock });
      await client.start({ backend, keepSubgroups: false });
      await client.load(request, never);
      const tokens: number[][] = [];
      for (const prompt of prompts) tokens.push(await greedy(client, prompt, 2));
      answers.push(tokens);
      client.stop();
    }
    expect(answers[1]).toEqual(answers[0]);
  });

async function greedy(client: WorkerClient, prompt: readonly number[], count: number): Promise<number[]> {
  await client.compute.open(session, 64);
  const answer: number[] = [];
  let next = prompt;
  for (let start = 0; answer.length < count; start += next.length, next = answer.slice(-1)) {
    const bytes = new Uint8Array(Uint32Array.from(next).buffer);
    const input: Rows = { kind: 'tokens', start, count: next.length, bytes };
    const { output } = await client.compute.run({ session, input, logitsFrom: start + next.length - 1 });
    answer.push(new DataView(output.bytes.buffer).getUint32(4, true));
  }
  await client.compute.close(session);
  return answer;
}
