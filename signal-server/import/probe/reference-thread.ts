import { Worker } from 'node:worker_threads';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { ReferenceReply, ReferenceRequest } from '#shared/wire/worker-message.ts';

/** Named by URL, as every compute thread is. */
const program = new URL('../../../worker/reference-main.mjs', import.meta.url);
/** One layer of a large model takes some seconds to convert and run. */
const TIMEOUT_MS = 10 * 60_000;

/** A thread that computes stages on the WASM backend, for values that other devices are compared with. */
export interface Reference {
  /** Rejects with the stage's ChorusError, or `worker-lost` or `timeout`. One call at a time. The blobs are handed over: they are empty after it. */
  compute(request: ReferenceRequest): Promise<Extract<ReferenceReply, { type: 'values' }>>;
  stop(): Promise<void>;
}

export function startReference(): Reference {
  const worker = new Worker(program);
  let settle: (reply: ReferenceReply) => void = () => undefined;
  const fail = (code: ErrorCode, message: string) => settle({ type: 'failure', code, message });
  worker.on('message', (reply: ReferenceReply) => settle(reply));
  worker.on('error', (error) => fail('worker-lost', error.message));
  worker.on('exit', (status) => fail('worker-lost', `the reference thread ended with code ${status}`));
  return {
    compute(request) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => fail('timeout', 'the reference took too long'), TIMEOUT_MS);
        settle = (reply) => {
          clearTimeout(timer);
          if (reply.type === 'values') resolve(reply);
          // A failure of the runtime is the graph's fault here: the thread is fresh, the input ours.
          else reject(new ChorusError(reply.code === 'internal' ? 'bad-model' : reply.code, reply.message));
        };
        worker.postMessage(
          request,
          [...request.blobs.values()].map(({ buffer }) => buffer),
        );
      });
    },
    async stop() {
      await worker.terminate();
    },
  };
}
