import type { Clock } from '#shared/clock.ts';
import type { WorkerClient } from '#shared/peer/volunteer/worker-client.ts';

/** How long a thread that was made ready waits for its start before its memory is given back. */
export const READY_MS = 5 * 60_000;

export interface ComputeThreadDeps {
  /** Makes a client without a thread. */
  readonly createClient: () => Promise<WorkerClient>;
  readonly clock: Clock;
}

/** The compute thread of the volunteer's next start, so that it can come up while the tab still connects. */
export class ComputeThread {
  readonly #deps: ComputeThreadDeps;
  #ready: Promise<WorkerClient> | null = null;
  #stopTimer = (): void => undefined;

  constructor(deps: ComputeThreadDeps) {
    this.#deps = deps;
  }

  /** Starts the thread, and readies `backend`'s runtime in it if one is named. A failure here is one of the start too. */
  async prepare(backend: 'webgpu' | 'wasm' | null): Promise<void> {
    await (await this.#open()).prepare(backend);
  }

  /** The client for a start, from now on the caller's to stop. Rejects if its code cannot be loaded. */
  take(): Promise<WorkerClient> {
    const ready = this.#open();
    this.#forget();
    return ready;
  }

  #open(): Promise<WorkerClient> {
    if (this.#ready !== null) return this.#ready;
    const ready = this.#deps.createClient();
    this.#ready = ready;
    ready.catch(() => {
      if (this.#ready === ready) this.#forget();
    });
    this.#stopTimer = this.#deps.clock.setTimer(() => {
      this.#forget();
      ready.then(
        (client) => client.stop(),
        () => undefined,
      );
    }, READY_MS);
    return ready;
  }

  #forget(): void {
    this.#ready = null;
    this.#stopTimer();
  }
}
