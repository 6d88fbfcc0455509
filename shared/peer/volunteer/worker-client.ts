import type { Clock } from '../../clock.ts';
import { ChorusError } from '../../errors.ts';
import { Listeners } from '../../listeners.ts';
import type { StageCompute } from '../../rows/compute.ts';
import type {
  BackendInfo,
  LoadedStage,
  WorkerCallName,
  WorkerCalls,
  WorkerFailure,
  WorkerReply,
  WorkerRequest,
} from '../../wire/worker-message.ts';

/** A thread that says nothing for this long while calls wait is taken for dead: loading may block it for a while. */
export const WORKER_SILENCE_MS = 60_000;

/** One compute thread, as the page and Node each make it. `onMessage` and `onDeath` are set by the client at once. */
export interface WorkerPort {
  post(message: WorkerRequest, transfer: ArrayBuffer[]): void;
  onMessage: (message: WorkerReply) => void;
  /** Called when the thread ended or failed by itself; `raw` is what the platform said of it. */
  onDeath: (reason: string, raw?: string) => void;
  terminate(): void;
}

export type LoadProgress = Pick<Extract<WorkerReply, { type: 'progress' }>, 'phase' | 'done' | 'total'>;

/**
 * The compute thread as its owner sees it. If the thread dies, goes silent or loses its device, every pending call
 * rejects with `worker-lost` or `device-lost`, the thread is ended and `onLost` is called; `start` and `load` then
 * make a fresh one.
 */
export interface WorkerClient {
  /**
   * Starts a thread that the next `start` takes, and makes `backend`'s runtime ready in it, if one is named. Rejects with
   * `worker-lost`, as that start will too.
   */
  prepare(backend: 'webgpu' | 'wasm' | null): Promise<void>;
  /**
   * Starts a thread (ending the one before, unless it was prepared for this) and picks its backend. Throws `unsupported`
   * or `worker-lost`.
   */
  start(request: WorkerCalls['start']['request']): Promise<BackendInfo>;
  /** Sets the share of the time in which it may run sessions; a thread that is not there is given it with its start. */
  pace(dutyShare: number): void;
  /**
   * Loads a stage in place of the one before. An abort rejects with `cancelled` at once and unloads what was loaded.
   * Throws also what worker/load-stage.ts lists.
   */
  load(request: WorkerCalls['load']['request'], signal: AbortSignal): Promise<LoadedStage>;
  unload(): Promise<void>;
  /** The nonces that do this work. */
  work(request: WorkerCalls['work']['request']): Promise<readonly number[]>;
  /** The loaded stage. `run` copies its input; `queueUs` covers all the time in which the thread did not work on it. */
  readonly compute: StageCompute;
  onProgress(listener: (progress: LoadProgress) => void): () => void;
  onLost(listener: (error: ChorusError) => void): () => void;
  /** Ends the thread; pending calls reject with `cancelled`, and `onLost` is not called. */
  stop(): void;
}

interface Pending {
  readonly resolve: (body: WorkerCalls[WorkerCallName]['reply']) => void;
  readonly reject: (error: ChorusError) => void;
}

export function createWorkerClient({ spawn, clock }: { spawn: () => WorkerPort; clock: Clock }): WorkerClient {
  const pending = new Map<number, Pending>();
  const progressListeners = new Listeners<[LoadProgress]>();
  const lostListeners = new Listeners<[ChorusError]>();
  let port: WorkerPort | null = null;
  let isPrepared = false;
  let nextId = 0;
  let stopWatch = (): void => undefined;

  /** Ends the thread and rejects what waits for it. */
  function end(error: ChorusError): void {
    port?.terminate();
    port = null;
    isPrepared = false;
    stopWatch();
    const waiting = [...pending.values()];
    pending.clear();
    for (const { reject } of waiting) reject(error);
  }

  function lose(error: ChorusError): void {
    end(error);
    lostListeners.notify(error);
  }

  function watch(): void {
    stopWatch();
    if (pending.size === 0) return;
    const silent = () => lose(new ChorusError('worker-lost', 'the compute thread does not answer'));
    stopWatch = clock.setTimer(silent, WORKER_SILENCE_MS);
  }

  function receive(message: WorkerReply): void {
    if (message.type === 'lost') return lose(errorOf(message));
    if (message.type === 'progress') {
      progressListeners.notify(message);
    } else {
      const call = pending.get(message.id);
      pending.delete(message.id);
      if (message.type === 'reply') call?.resolve(message.body);
      else call?.reject(errorOf(message));
    }
    watch();
  }

  function spawnPort(): WorkerPort {
    const fresh = spawn();
    // A thread that was replaced may still have messages on their way.
    fresh.onMessage = (message) => {
      if (port === fresh) receive(message);
    };
    fresh.onDeath = (reason, raw) => {
      if (port === fresh) lose(new ChorusError('worker-lost', reason, {}, raw));
    };
    return fresh;
  }

  function call<Name extends WorkerCallName>(
    name: Name,
    body: WorkerCalls[Name]['request'],
    transfer: ArrayBuffer[] = [],
  ): Promise<WorkerCalls[Name]['reply']> {
    const target = port;
    if (target === null) return Promise.reject(new ChorusError('worker-lost', 'there is no compute thread'));
    return new Promise((resolve, reject) => {
      const id = nextId++;
      target.post({ id, call: name, body } as WorkerRequest, transfer);
      pending.set(id, { resolve: resolve, reject });
      if (pending.size === 1) watch();
    });
  }

  async function load(request: WorkerCalls['load']['request'], signal: AbortSignal): Promise<LoadedStage> {
    const cancelled = new ChorusError('cancelled', 'loading was cancelled');
    if (signal.aborted) throw cancelled;
    const loaded = call('load', request);
    let onAbort = (): void => undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => {
        // The thread serves calls on its stage in order, so this takes away what is being loaded.
        call('unload', null).catch(() => undefined);
        reject(cancelled);
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([loaded, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      loaded.catch(() => undefined);
    }
  }

  const compute: StageCompute = {
    async open(session, capacity) {
      await call('open', { session, capacity });
    },
    async run(request) {
      const bytes = request.input.bytes.slice();
      const sentAtMs = clock.nowMs();
      const result = await call('run', { ...request, input: { ...request.input, bytes } }, [bytes.buffer]);
      const { decodeUs, runUs, encodeUs } = result.timings;
      const wholeUs = Math.round(1000 * (clock.nowMs() - sentAtMs));
      return { ...result, timings: { ...result.timings, queueUs: Math.max(0, wholeUs - decodeUs - runUs - encodeUs) } };
    },
    async cut(session, position) {
      await call('cut', { session, position });
    },
    async close(session) {
      await call('close', { session });
    },
  };

  return {
    async prepare(backend) {
      if (port === null) {
        port = spawnPort();
        isPrepared = true;
      }
      if (isPrepared && backend !== null) await call('prepare', { backend });
    },
    async start(request) {
      if (!isPrepared) {
        end(new ChorusError('cancelled', 'the compute thread was replaced'));
        port = spawnPort();
      }
      isPrepared = false;
      return call('start', request);
    },
    pace(dutyShare) {
      // One that is lost meanwhile is told by its next start.
      call('pace', { dutyShare }).catch(() => undefined);
    },
    load,
    async unload() {
      await call('unload', null);
    },
    work: async (request) => (await call('work', request)).nonces,
    compute,
    onProgress: (listener) => progressListeners.add(listener),
    onLost: (listener) => lostListeners.add(listener),
    stop: () => end(new ChorusError('cancelled', 'the compute thread was stopped')),
  };
}

function errorOf({ code, message, details, raw }: WorkerFailure): ChorusError {
  return new ChorusError(code, message, details, raw);
}
