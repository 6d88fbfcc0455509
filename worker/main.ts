/**
 * The compute thread in a browser.
 *
 *   page -> thread   WorkerRequest { id, call, body }: prepare, start, pace, load, work, unload, open, run, cut, close
 *   thread -> page   WorkerReply: one `reply` or `failure` with the request's id; `progress` while a load goes on;
 *                    `lost` when the device or the runtime is gone and the page must replace the thread
 *
 * shared/wire/worker-message.ts has the types, shared/peer/volunteer/worker-client.ts the other end.
 */
import type { WorkerRequest } from '#shared/wire/worker-message.ts';
import { createDispatch } from './dispatch.ts';

declare const self: DedicatedWorkerGlobalScope;

const dispatch = createDispatch({
  gpu: 'gpu' in navigator ? navigator.gpu : undefined,
  post: (reply, transfer) => self.postMessage(reply, transfer),
});

self.onmessage = (event: MessageEvent<WorkerRequest>) => dispatch(event.data);
// A promise that nobody waits for would otherwise fail unseen, and the page would wait for its limit.
self.onunhandledrejection = (event) => {
  throw event.reason;
};
