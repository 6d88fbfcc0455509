import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Runtime } from '../../worker/runtime.ts';
import { Runtimes } from '../../worker/runtimes.ts';
import { warmUp } from '../../worker/warm-up.ts';

const binary = Uint8Array.from({ length: 100_000 }, (_, i) => [0x00, 0x61, 0x73, 0x6d][i] ?? (i * i) % 251);
const packed = gzipSync(binary);
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    // One that is kept open may be closed just when it is used again.
    response.setHeader('connection', 'close');
    if (request.url === '/packed') response.end(packed);
    else if (request.url === '/plain') response.end(binary);
    else if (request.url === '/page') response.end('<!doctype html><title>Not here</title>');
    else if (request.url === '/cut') response.end(packed.subarray(0, 100));
    else if (request.url === '/unreached') request.socket.destroy();
    else if (request.url === '/broken') {
      response.writeHead(200, { 'content-length': packed.length });
      response.write(packed.subarray(0, 100), () => request.socket.destroy());
    } else response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

/** A runtime that only keeps the binary it was given, or fails to start. */
function keepingRuntime(path: string, failure?: Error) {
  const kept: unknown[] = [];
  const env = { wasm: { wasmPaths: { wasm: url + path } } as Record<string, unknown> };
  const create = () => {
    kept.push(env.wasm['wasmBinary']);
    return failure ? Promise.reject(failure) : Promise.resolve({ release: () => Promise.resolve() });
  };
  return { runtime: { env, InferenceSession: { create } } as unknown as Runtime, env, kept };
}

test.each(['/packed', '/plain'])('the runtime gets its binary as it is from %s, and lets go of it', async (path) => {
  const { runtime, env, kept } = keepingRuntime(path);
  const seen: (readonly [number, number])[] = [];
  await warmUp(runtime, (done, total) => seen.push([done, total]));
  expect(kept.map((bytes) => new Uint8Array(bytes as ArrayBuffer))).toEqual([binary]);
  expect(env.wasm).not.toHaveProperty('wasmBinary');
  const length = path === '/packed' ? packed.length : binary.length;
  expect(seen.at(-1)).toEqual([length, length]);
});

test.each([
  ['that cannot be had', '/absent', undefined],
  ['that is a page in its place', '/page', undefined],
  ['that was cut off', '/cut', undefined],
  ['whose server is not reached', '/unreached', undefined],
  ['whose connection breaks', '/broken', undefined],
  ['that does not run', '/plain', new Error('Aborted(CompileError)')],
])('a binary %s loses the thread', async (_, path, failure) => {
  const { runtime } = keepingRuntime(path, failure);
  const isProgramGone = failure === undefined ? { isProgramGone: true } : {};
  await expect(warmUp(runtime, () => undefined)).rejects.toMatchObject({ code: 'worker-lost', details: isProgramGone });
});

test('a runtime is loaded once for all who ask, and computes once it is warm', async () => {
  const runtimes = new Runtimes();
  const [first, second] = await Promise.all([runtimes.get('wasm'), runtimes.get('wasm')]);
  expect(first).toBe(second);
  await expect(first.InferenceSession.create(new Uint8Array([1]))).rejects.toThrow();
});
