import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { toChorusError } from '#shared/errors.ts';
import type { Runtime } from './runtime.ts';
import { fetchWasm } from './wasm-file.ts';

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
      wasm.wasmBinary = await fetchWasm(String(wasm.wasmPaths.wasm), onProgress);
    }
    const session = await runtime.InferenceSession.create(smallestModel(), { executionProviders: ['wasm'] });
    await session.release();
  } catch (thrown) {
    throw toChorusError(thrown, 'worker-lost');
  } finally {
    delete wasm.wasmBinary;
  }
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
