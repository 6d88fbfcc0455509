import type * as ort from 'onnxruntime-web';
import { orProgramGone } from './wasm-file.ts';

/** The part of onnxruntime-web that is the same for every backend. */
export type Runtime = typeof ort;
export type { InferenceSession, Tensor } from 'onnxruntime-web';

/** Version of onnxruntime-web here, which models pin; known without loading any of it. */
export const RUNTIME_VERSION = '1.30.0';

/**
 * Loads onnxruntime-web for one backend; the other stays unloaded. Works in browser workers and in plain Node
 * (`wasm` only), where the package finds its binary beside itself. One thread: numbers must not depend on how many
 * cores a volunteer has. The first session fetches and initializes the binary, unless `warmUp` has.
 */
export async function loadRuntime(backend: 'webgpu' | 'wasm'): Promise<Runtime> {
  const runtime = await orProgramGone<Runtime>(
    backend === 'webgpu' ? import('onnxruntime-web/webgpu') : import('onnxruntime-web/wasm'),
  );
  runtime.env.wasm.numThreads = 1;
  runtime.env.logLevel = 'error';
  const isBrowser = 'location' in globalThis;
  if (isBrowser) {
    // Given as a file rather than a folder: a folder would make the runtime import more modules by itself.
    const wasm = backend === 'webgpu' ? await asyncifyUrl() : await plainUrl();
    // The build keeps the binaries gzipped only.
    runtime.env.wasm.wasmPaths = { wasm: import.meta.env.PROD ? `${wasm}.gz` : wasm };
  }
  return runtime;
}

async function asyncifyUrl(): Promise<string> {
  return (await orProgramGone(import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url'))).default;
}

async function plainUrl(): Promise<string> {
  return (await orProgramGone(import('onnxruntime-web/ort-wasm-simd-threaded.wasm?url'))).default;
}
