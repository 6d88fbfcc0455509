import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { BackendInfo, LoadedStage, WorkerCalls } from '#shared/wire/worker-message.ts';
import { type OpenBackend, openWasm, openWebGpu } from './backend.ts';
import { type Blobs, loadStage, type OnProgress, readStageBlobs, timeEngineLayer } from './load-stage.ts';
import { Mutex } from './mutex.ts';
import { Runtimes } from './runtimes.ts';
import type { ServedStage } from './served-stage.ts';

export interface ComputeHostDeps {
  /** `navigator.gpu`, where there is one. */
  readonly gpu: GPU | undefined;
  readonly clock: Clock;
  readonly onProgress: OnProgress;
  readonly onDeviceLost: (reason: string) => void;
}

/** A device that is about as fast leaves the processor to its owner. */
const CLEARLY = 1.25;

/**
 * The backend and the stage of one thread. A device that fails the probe is asked for again without subgroups; if it
 * is still wrong, or right but slower than the processor, `auto` goes over to that; `webgpu` refuses a wrong one.
 */
export class ComputeHost {
  readonly #deps: ComputeHostDeps;
  readonly #runtimes: Runtimes;
  readonly #turn = new Mutex();
  #request: WorkerCalls['start']['request'] | null = null;
  #backend: OpenBackend | null = null;
  #stage: ServedStage | null = null;

  constructor(deps: ComputeHostDeps) {
    this.#deps = deps;
    this.#runtimes = new Runtimes((done, total) => deps.onProgress('runtime', done, total));
  }

  /** The stage that serves. Throws `unknown-session` while there is none. */
  get stage(): ServedStage {
    if (this.#stage === null) throw new ChorusError('unknown-session', 'no stage is loaded');
    return this.#stage;
  }

  /** Makes a backend's runtime ready, without a device or a model. */
  async prepare({ backend }: WorkerCalls['prepare']['request']): Promise<void> {
    await (backend === 'wasm' ? this.#runtimes.engine() : this.#runtimes.get(backend));
  }

  start(request: WorkerCalls['start']['request']): Promise<BackendInfo> {
    return this.#turn.run(async () => {
      await this.#release();
      this.#request = request;
      this.#replaceBackend(await this.#openFirst(request));
      return (this.#backend as OpenBackend).info;
    });
  }

  load(request: WorkerCalls['load']['request']): Promise<LoadedStage> {
    return this.#turn.run(async () => {
      await this.#release();
      const blobs = await readStageBlobs(request, this.#deps.clock);
      for (;;) {
        const backend = this.#backend;
        if (backend === null) throw new ChorusError('bad-message', 'no backend was started');
        try {
          const loaded = await this.#loadOn(backend, request, blobs);
          const faster = await this.#whyProcessor(backend, request, blobs, loaded.layerMs);
          if (faster === null) return loaded;
          await this.#release();
          this.#replaceBackend(openWasm(this.#runtimes, faster));
        } catch (thrown) {
          const error = toChorusError(thrown);
          const next = error.code === 'probe-failed' ? await this.#openNext(backend, error) : null;
          if (next === null) throw error;
          this.#replaceBackend(next);
        }
      }
    });
  }

  unload(): Promise<void> {
    return this.#turn.run(() => this.#release());
  }

  async #loadOn(backend: OpenBackend, request: WorkerCalls['load']['request'], blobs: Blobs): Promise<LoadedStage> {
    const { stage, probed, numericClass } = await loadStage(backend, request, blobs, this.#deps.onProgress);
    this.#stage = stage;
    const layers = Math.max(1, request.range.end - request.range.start);
    return {
      ...backend.info,
      numericClass,
      memoryBytes: stage.memoryBytes,
      layerMs: probed.decodeMs / layers,
      probeError: probed.error,
    };
  }

  /** Why the processor should serve instead of a graphics device that was chosen for nobody's wish; null if it should not. */
  async #whyProcessor(
    { device }: OpenBackend,
    request: WorkerCalls['load']['request'],
    blobs: Blobs,
    layerMs: number,
  ): Promise<string | null> {
    if (device === null || this.#request?.backend !== 'auto') return null;
    // A trial that fails leaves the stage where it is: the device has passed the probe.
    const engine = this.#runtimes.engine();
    const engineMs = await engine.then((module) => timeEngineLayer(module, request, blobs)).catch(() => null);
    if (engineMs === null || engineMs * CLEARLY >= layerMs) return null;
    const text = (ms: number) => `${Number(ms.toPrecision(2))} ms`;
    return `a layer takes ${text(layerMs)} on the graphics device and ${text(engineMs)} on the processor`;
  }

  async #openFirst({ backend }: WorkerCalls['start']['request']): Promise<OpenBackend> {
    if (backend === 'wasm') return openWasm(this.#runtimes, 'WASM was asked for');
    try {
      return await this.#openWebGpu(true, backend === 'auto');
    } catch (thrown) {
      if (backend === 'webgpu') throw toChorusError(thrown, 'unsupported');
      return openWasm(this.#runtimes, toChorusError(thrown).message);
    }
  }

  /** The backend to try after `backend` failed the probe; null if none is left. */
  async #openNext(backend: OpenBackend, error: ChorusError): Promise<OpenBackend | null> {
    if (backend.hasSubgroups && this.#request?.keepSubgroups === false) {
      try {
        return await this.#openWebGpu(false, false);
      } catch (thrown) {
        if (this.#request.backend === 'webgpu') throw thrown;
      }
    }
    if (backend.info.backend === 'webgpu' && this.#request?.backend === 'auto')
      return openWasm(this.#runtimes, error.message);
    return null;
  }

  #openWebGpu(subgroups: boolean, refuseSoftware: boolean): Promise<OpenBackend> {
    return openWebGpu(this.#deps.gpu, this.#runtimes, { subgroups, refuseSoftware, onLost: this.#deps.onDeviceLost });
  }

  #replaceBackend(backend: OpenBackend): void {
    this.#backend?.close();
    this.#backend = backend;
  }

  async #release(): Promise<void> {
    const stage = this.#stage;
    this.#stage = null;
    await stage?.release();
  }
}
