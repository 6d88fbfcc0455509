import { Worker } from 'node:worker_threads';
import { VrfKey, type VrfResult } from '#shared/draw/vrf.ts';

/** Named by URL, so that nothing of it is loaded in this thread. */
const program = new URL('./vrf-main.mjs', import.meta.url);

export interface VrfRequest {
  readonly id: number;
  readonly input: Uint8Array<ArrayBuffer>;
}

export interface VrfReply {
  readonly id: number;
  readonly result: VrfResult;
}

interface Job {
  readonly input: Uint8Array<ArrayBuffer>;
  readonly settle: (result: VrfResult) => void;
}

/** Proofs of draws, made where they hold nobody up. */
export interface VrfProver {
  readonly prove: (input: Uint8Array<ArrayBuffer>) => Promise<VrfResult>;
  /** Fulfilled once proofs are made in the thread that was started. */
  readonly isInThread: () => Promise<void>;
  readonly stop: () => void;
}

/** Proofs that are made here before a thread is started for them: it costs more than these, and most servers see few. */
const FIRST_PROOFS = 16;

/** Makes the proofs of a key, many of them in a thread of their own: each takes some milliseconds, in which sockets would not be served. */
export function createVrfThread(secretKey: Uint8Array<ArrayBuffer>, firstProofs = FIRST_PROOFS): VrfProver {
  const key = new VrfKey(secretKey);
  const waiting = new Map<number, Job>();
  let thread: Worker | null = null;
  let next = 0;
  let isReady = false;
  let onReady: (() => void)[] = [];

  function start(): Worker {
    const worker = new Worker(program, { workerData: secretKey });
    // A thread alone keeps no program running.
    worker.unref();
    worker.on('message', (message: VrfReply | 'ready') => {
      if (message === 'ready') {
        isReady = worker === thread;
        for (const resolve of onReady) resolve();
        onReady = [];
        return;
      }
      const job = waiting.get(message.id);
      waiting.delete(message.id);
      job?.settle(message.result);
    });
    const lose = (): void => {
      if (worker === thread) finishHere();
    };
    worker.on('error', lose);
    worker.on('exit', lose);
    return worker;
  }

  /** What a thread left undone is done here; the next proof starts another. */
  function finishHere(): void {
    thread = null;
    isReady = false;
    const left = [...waiting.values()];
    waiting.clear();
    for (const { input, settle } of left) settle(key.prove(input));
  }

  return {
    async prove(input) {
      next += 1;
      if (next > firstProofs) thread ??= start();
      const worker = thread;
      if (worker === null || !isReady) return key.prove(input);
      const id = next;
      return new Promise((settle) => {
        waiting.set(id, { input, settle });
        worker.postMessage({ id, input } satisfies VrfRequest);
      });
    },
    isInThread: () => (isReady ? Promise.resolve() : new Promise((resolve) => onReady.push(resolve))),
    stop() {
      const ended = thread;
      finishHere();
      void ended?.terminate();
    },
  };
}
