import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Runtime } from './runtime.ts';

/**
 * Fetches, compiles and initializes the runtime's WebAssembly. Nothing else may use the runtime until then. `onProgress`
 * tells of the download, in bytes. Throws `worker-lost`: a runtime that did not start cannot be started again in the
 * same thread.
 *
 * The runtime could fetch the binary itself, but compiles it while it streams, and Chromium then keeps the thread for
 * all of the download; nor do private windows keep a file of 14 MB.
 */
export async function warmUp(runtime: Runtime, onProgress: (done: number, total: number) => void): Promise<void> {
  const { wasm } = runtime.env;
  try {
    if (typeof wasm.wasmPaths === 'object' && wasm.wasmPaths.wasm !== undefined) {
      wasm.wasmBinary = await unpacked(await fetchBytes(String(wasm.wasmPaths.wasm), onProgress));
    }
    const session = await runtime.InferenceSession.create(smallestModel(), { executionProviders: ['wasm'] });
    await session.release();
  } catch (thrown) {
    throw toChorusError(thrown, 'worker-lost');
  } finally {
    delete wasm.wasmBinary;
  }
}

async function fetchBytes(url: string, onProgress: (done: number, total: number) => void): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok || response.body === null) {
    throw new ChorusError('worker-lost', `the runtime could not be loaded: HTTP ${response.status}`);
  }
  const total = Number(response.headers.get('content-length') ?? 0);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let done = 0;
  for (const reader = response.body.getReader(); ;) {
    const part = await reader.read();
    if (part.done) return new Blob(parts);
    parts.push(part.value);
    done += part.value.length;
    onProgress(done, Math.max(done, total));
  }
}

/** Gzip (RFC 1952, 2.3.1) unpacked, unless a proxy has done it on the way. */
async function unpacked(bytes: Blob): Promise<ArrayBuffer> {
  const [first, second] = new Uint8Array(await bytes.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return bytes.arrayBuffer();
  return new Response(bytes.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

/** One `Identity` of one float. */
function smallestModel(): Uint8Array {
  const value = (name: string) => ({
    name,
    type: {
      value: {
        case: 'tensorType' as const,
        value: { elemType: 1, shape: { dim: [{ value: { case: 'dimValue' as const, value: 1n } }] } },
      },
    },
  });
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 17n }],
    graph: {
      name: 'warm-up',
      node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
      input: [value('x')],
      output: [value('y')],
    },
  });
  return toBinary(ModelProtoSchema, model);
}
