import { loadRuntime, type Runtime } from './runtime.ts';
import { warmUp } from './warm-up.ts';

export interface OpenRuntime {
  readonly runtime: Runtime;
  /** Fulfilled when the runtime may be used; rejects as `warmUp` does. */
  readonly warm: Promise<void>;
}

/** The runtimes of one thread, each loaded and warmed up once, when it is first asked for. */
export class Runtimes {
  readonly #onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly #open = new Map<'webgpu' | 'wasm', Promise<OpenRuntime>>();

  constructor(onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined) {
    this.#onProgress = onProgress;
  }

  /** Does not wait until it is warm: that goes on while a stage's weights are read. */
  get(backend: 'webgpu' | 'wasm'): Promise<OpenRuntime> {
    const open = this.#open.get(backend) ?? this.#load(backend);
    this.#open.set(backend, open);
    return open;
  }

  async #load(backend: 'webgpu' | 'wasm'): Promise<OpenRuntime> {
    const runtime = await loadRuntime(backend);
    const warm = warmUp(runtime, this.#onProgress);
    // A failure is told to those who wait for it.
    warm.catch(() => undefined);
    return { runtime, warm };
  }
}
