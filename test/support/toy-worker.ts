import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import { WORK_PUZZLES } from '#shared/limits.ts';
import type { LoadProgress, WorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { BackendInfo, LoadedStage, WorkerCalls } from '#shared/wire/worker-message.ts';
import { pacedCompute } from '../../worker/paced-compute.ts';
import { ToyCompute } from './toy-model.ts';

const LOAD_MS = 50;

/** A compute thread that holds stages of the toy, and fails when told to. */
export class ToyWorker implements WorkerClient {
  readonly starts: WorkerCalls['start']['request'][] = [];
  readonly loads: WorkerCalls['load']['request'][] = [];
  runtimeVersion = '0.0.0';
  /** The error that loading ends with on this backend, if any. */
  loadFailure: Partial<Record<'webgpu' | 'wasm', ChorusError>> = {};
  /** What a stage comes to when it is loaded, where that is another than the backend that was started. */
  loadsAs: Partial<BackendInfo> = {};
  #stage: StageCompute | null = null;
  #share = 1;
  #info: BackendInfo | null = null;
  #failRunning: (error: ChorusError) => void = () => undefined;
  readonly #clock: Clock;
  readonly #lostListeners = new Set<(error: ChorusError) => void>();
  readonly #progressListeners = new Set<(progress: LoadProgress) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly compute: StageCompute = {
    open: async (session, capacity) => this.#loaded.open(session, capacity),
    run: async (request) =>
      Promise.race([this.#loaded.run(request), new Promise<never>((_, reject) => (this.#failRunning = reject))]),
    cut: async (session, position) => this.#loaded.cut(session, position),
    close: async (session) => this.#loaded.close(session),
  };

  get isLoaded(): boolean {
    return this.#stage !== null;
  }

  get isRunning(): boolean {
    return this.#info !== null;
  }

  async prepare(): Promise<void> {}

  /** Work that it was given; it is done in no time. */
  readonly works: WorkerCalls['work']['request'][] = [];

  async work(request: WorkerCalls['work']['request']): Promise<readonly number[]> {
    this.works.push(request);
    return Array.from({ length: WORK_PUZZLES }, (_, puzzle) => puzzle);
  }

  async start(request: WorkerCalls['start']['request']): Promise<BackendInfo> {
    this.starts.push(request);
    const backend = request.backend === 'auto' ? 'webgpu' : request.backend;
    const { fallbackReason = null } = request;
    const isDeviceFaulty = fallbackReason !== null;
    this.#stage = null;
    this.#share = request.dutyShare ?? 1;
    this.#info = {
      backend,
      numericClass: backend,
      runtimeVersion: this.runtimeVersion,
      fallbackReason,
      isDeviceFaulty,
    };
    return this.#info;
  }

  pace(dutyShare: number): void {
    this.#share = dutyShare;
  }

  async load(request: WorkerCalls['load']['request'], signal: AbortSignal): Promise<LoadedStage> {
    const info = this.#info;
    if (info === null) throw new ChorusError('worker-lost', 'no thread');
    this.loads.push(request);
    for (const listener of this.#progressListeners) listener({ phase: 'cut', done: 1, total: 2 });
    await new Promise<void>((resolve) => this.#clock.setTimer(resolve, LOAD_MS));
    if (signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
    const failure = this.loadFailure[info.backend];
    if (failure !== undefined) throw failure;
    this.#stage = pacedCompute(new ToyCompute(request.range, this.#clock), this.#clock, () => this.#share);
    return { ...info, ...this.loadsAs, memoryBytes: 1000, layerMs: 0.5, probeError: 0.001 };
  }

  async unload(): Promise<void> {
    this.#stage = null;
  }

  onProgress(listener: (progress: LoadProgress) => void): () => void {
    this.#progressListeners.add(listener);
    return () => this.#progressListeners.delete(listener);
  }

  onLost(listener: (error: ChorusError) => void): () => void {
    this.#lostListeners.add(listener);
    return () => this.#lostListeners.delete(listener);
  }

  stop(): void {
    this.#stage = null;
    this.#info = null;
  }

  /** The thread dies. */
  lose(error = new ChorusError('device-lost', 'the graphics device was lost')): void {
    this.stop();
    this.#failRunning(error);
    for (const listener of [...this.#lostListeners]) listener(error);
  }

  get #loaded(): StageCompute {
    if (this.#stage === null) throw new ChorusError('worker-lost', 'no thread');
    return this.#stage;
  }
}
