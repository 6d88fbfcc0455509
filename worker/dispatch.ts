import type { Clock } from '#shared/clock.ts';
import type { Work } from '#shared/crypto/work.ts';
import { toChorusError } from '#shared/errors.ts';
import type {
  LoadedStage,
  WorkerCallName,
  WorkerCalls,
  WorkerReply,
  WorkerRequest,
} from '#shared/wire/worker-message.ts';
import { ComputeHost } from './compute-host.ts';

/** Browsers slow down the timers of a page that nobody looks at, and not those of its threads. */
const threadClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  setTimer(task, delayMs) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface DispatchDeps {
  readonly gpu: GPU | undefined;
  /** Sends to the page or program; the buffers in `transfer` go over without a copy. */
  readonly post: (reply: WorkerReply, transfer: ArrayBuffer[]) => void;
}

/**
 * Answers each request with one reply or failure of the same id, or for all of them with one report of loss, after
 * which the owner replaces the thread.
 */
export function createDispatch({ gpu, post }: DispatchDeps): (request: WorkerRequest) => void {
  const host = new ComputeHost({
    gpu,
    clock: threadClock,
    onProgress: (phase, done, total) => post({ type: 'progress', phase, done, total }, []),
    onDeviceLost: (reason) =>
      post({ type: 'lost', code: 'device-lost', message: 'the graphics device was lost', raw: reason }, []),
  });

  const loads = new Set<Promise<unknown>>();

  /** Other calls come first, and a load would take its measure of this device while it does something else. */
  async function rest(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve));
    await Promise.all(loads);
  }

  async function load(request: WorkerCalls['load']['request']): Promise<LoadedStage> {
    const loading = host.load(request);
    const settled = loading.catch(() => undefined);
    loads.add(settled);
    return loading.finally(() => loads.delete(settled));
  }

  async function work(request: Work): Promise<{ nonces: readonly number[] }> {
    const { solveWork } = await import('#shared/crypto/work.ts');
    return { nonces: await solveWork(request, rest) };
  }

  return (request) => {
    const { id } = request;
    const answered =
      request.call === 'load'
        ? load(request.body)
        : request.call === 'work'
          ? work(request.body)
          : answer(host, request);
    void answered.then(
      (body) => post({ type: 'reply', id, body }, transferable(body)),
      (thrown: unknown) => {
        const { code, message, details, raw } = toChorusError(thrown);
        const failure = { code, message, details, raw };
        // A loss fails every pending call at the other end, this one too.
        const isLoss = code === 'worker-lost' || code === 'device-lost';
        post(isLoss ? { type: 'lost', ...failure } : { type: 'failure', id, ...failure }, []);
      },
    );
  };
}

type CallReply = WorkerCalls[WorkerCallName]['reply'];

async function answer(
  host: ComputeHost,
  request: Exclude<WorkerRequest, { call: 'load' | 'work' }>,
): Promise<CallReply> {
  switch (request.call) {
    case 'prepare':
      await host.prepare(request.body);
      return null;
    case 'start':
      return host.start(request.body);
    case 'pace':
      host.pace(request.body);
      return null;
    case 'unload':
      await host.unload();
      return null;
    case 'open':
      await host.stage.open(request.body.session, request.body.capacity);
      return null;
    case 'run':
      return host.stage.run(request.body);
    case 'cut':
      await host.stage.cut(request.body.session, request.body.position);
      return null;
    case 'close':
      await host.stage.close(request.body.session);
      return null;
  }
}

function transferable(body: CallReply): ArrayBuffer[] {
  return body !== null && 'output' in body ? [body.output.bytes.buffer] : [];
}
