import { loadEngineModule } from './engine/engine-module.ts';
import { loadRuntime, type Runtime } from './runtime.ts';
import { warmUp } from './warm-up.ts';

/** The runtimes and the engine of one thread, each loaded once, when it is first asked for. */
export class Runtimes {
  readonly #onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly #open = new Map<'webgpu' | 'wasm', Promise<Runtime>>();
  #engine: Promise<WebAssembly.Module> | null = null;

  constructor(onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined) {
    this.#onProgress = onProgress;
  }

  /** Fulfilled when the runtime may be used; rejects as `warmUp` does. */
  get(backend: 'webgpu' | 'wasm'): Promise<Runtime> {
    const open = this.#open.get(backend) ?? this.#load(backend);
    this.#open.set(backend, open);
    // A failure is told to those who wait for it.
    open.catch(() => undefined);
    return open;
  }

  /** The CPU engine's module; rejects with `worker-lost`. */
  engine(): Promise<WebAssembly.Module> {
    this.#engine ??= loadEngineModule();
    this.#engine.catch(() => undefined);
    return this.#engine;
  }

  async #load(backend: 'webgpu' | 'wasm'): Promise<Runtime> {
    const runtime = await loadRuntime(backend);
    await warmUp(runtime, this.#onProgress);
    return runtime;
  }
}
