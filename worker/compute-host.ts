import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { abortAfter } from '#shared/peer/abort-after.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { BackendInfo, LoadedStage, WorkerCalls } from '#shared/wire/worker-message.ts';
import { type OpenBackend, openWasm, openWebGpu } from './backend.ts';
import { type Blobs, loadStage, type OnProgress, readStageBlobs, timeEngineLayer } from './load-stage.ts';
import { Mutex } from './mutex.ts';
import { pacedCompute } from './paced-compute.ts';
import { Runtimes } from './runtimes.ts';
import type { ServedStage } from './served-stage.ts';

export interface ComputeHostDeps {
  /** `navigator.gpu`, where there is one. */
  readonly gpu: GPU | undefined;
  readonly clock: Clock;
  readonly onProgress: OnProgress;
  readonly onDeviceLost: (reason: string) => void;
}

/**
 * A graphics device that is silent for this long while a stage is loaded is as good as lost, where the processor can take its
 * place. Reading weights and building shaders take seconds, and tell of themselves in between.
 */
const DEVICE_SILENCE_MS = 20_000;

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
  #dutyShare = 1;
  #backend: OpenBackend | null = null;
  #stage: ServedStage | null = null;
  /** The stage with the pauses that leave the rest of the time to its owner. */
  #compute: StageCompute | null = null;
  /** To be called with each sign of progress. */
  #onSign = (): void => undefined;

  constructor(deps: ComputeHostDeps) {
    this.#deps = deps;
    this.#runtimes = new Runtimes((done, total) => this.#progress('runtime', done, total));
  }

  /** The stage that serves. Throws `unknown-session` while there is none. */
  get stage(): StageCompute {
    if (this.#compute === null) throw new ChorusError('unknown-session', 'no stage is loaded');
    return this.#compute;
  }

  /** Makes a backend's runtime ready, without a device or a model. */
  async prepare({ backend }: WorkerCalls['prepare']['request']): Promise<void> {
    await (backend === 'wasm' ? this.#runtimes.engine() : this.#runtimes.get(backend));
  }

  start(request: WorkerCalls['start']['request']): Promise<BackendInfo> {
    return this.#turn.run(async () => {
      await this.#release();
      this.#request = request;
      this.pace(request);
      this.#replaceBackend(await this.#openFirst(request));
      return (this.#backend as OpenBackend).info;
    });
  }

  /** Sets how much of the time sessions may take, from the end of the run under way on. */
  pace({ dutyShare = 1 }: Partial<WorkerCalls['pace']['request']>): void {
    this.#dutyShare = dutyShare;
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
          const next = this.#isOfDevice(error) ? await this.#openNext(backend, error) : null;
          if (next === null) throw error;
          this.#replaceBackend(next);
        }
      }
    });
  }

  /** Where the processor may be taken, what the runtime cannot load on a graphics device says nothing of the model. */
  #isOfDevice({ code, details }: ChorusError): boolean {
    return code === 'probe-failed' || (details['isOfRuntime'] === true && this.#request?.backend === 'auto');
  }

  unload(): Promise<void> {
    return this.#turn.run(() => this.#release());
  }

  async #loadOn(backend: OpenBackend, request: WorkerCalls['load']['request'], blobs: Blobs): Promise<LoadedStage> {
    const stopWatch = this.#watch(backend);
    const { stage, probed, numericClass } = await loadStage(backend, request, blobs, (...step) =>
      this.#progress(...step),
    ).finally(stopWatch);
    this.#stage = stage;
    this.#compute = pacedCompute(stage, this.#deps.clock, () => this.#dutyShare);
    const layers = Math.max(1, request.range.end - request.range.start);
    return {
      ...backend.info,
      numericClass,
      memoryBytes: stage.memoryBytes,
      layerMs: probed.decodeMs / layers,
      probeError: probed.error,
    };
  }

  #progress(...step: Parameters<OnProgress>): void {
    this.#onSign();
    this.#deps.onProgress(...step);
  }

  /** Takes a graphics device that was chosen for nobody's wish for lost once it is silent; to be stopped by the returned function. */
  #watch({ device }: OpenBackend): () => void {
    if (device === null || this.#request?.backend !== 'auto') return () => undefined;
    const silent = `it did not answer within ${DEVICE_SILENCE_MS / 1000} s`;
    const limit = abortAfter(this.#deps.clock, DEVICE_SILENCE_MS, silent, new AbortController().signal);
    limit.signal.addEventListener('abort', () => this.#deps.onDeviceLost(silent));
    this.#onSign = () => limit.restart();
    return () => {
      this.#onSign = () => undefined;
      limit.clear();
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

  async #openFirst({ backend, fallbackReason }: WorkerCalls['start']['request']): Promise<OpenBackend> {
    if (backend === 'wasm') {
      const isDeviceFaulty = fallbackReason !== undefined;
      return openWasm(this.#runtimes, fallbackReason ?? 'WASM was asked for', { isDeviceFaulty });
    }
    try {
      return await this.#openWebGpu(true, backend === 'auto');
    } catch (thrown) {
      if (backend === 'webgpu') throw toChorusError(thrown, 'unsupported');
      const { own, details } = toChorusError(thrown);
      const isDeviceFaulty = details['isDeviceFaulty'] === true;
      return openWasm(this.#runtimes, own ?? 'the browser could not open the graphics device', { isDeviceFaulty });
    }
  }

  /** The backend to try after `backend` could not load a stage or failed the probe; null if none is left. */
  async #openNext(backend: OpenBackend, error: ChorusError): Promise<OpenBackend | null> {
    if (backend.hasSubgroups && this.#request?.keepSubgroups === false) {
      try {
        return await this.#openWebGpu(false, false);
      } catch (thrown) {
        if (this.#request.backend === 'webgpu') throw thrown;
      }
    }
    if (backend.info.backend === 'webgpu' && this.#request?.backend === 'auto')
      return openWasm(this.#runtimes, error.message, { isDeviceFaulty: true });
    return null;
  }

  #openWebGpu(subgroups: boolean, refuseSoftware: boolean): Promise<OpenBackend> {
    const { gpu, clock, onDeviceLost: onLost } = this.#deps;
    return openWebGpu(gpu, this.#runtimes, { subgroups, refuseSoftware, clock, onLost });
  }

  #replaceBackend(backend: OpenBackend): void {
    this.#backend?.close();
    this.#backend = backend;
  }

  async #release(): Promise<void> {
    const stage = this.#stage;
    this.#stage = null;
    this.#compute = null;
    await stage?.release();
  }
}
