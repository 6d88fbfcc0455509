/** The compute thread in Node (worker_threads); the message flow is that of main.ts. Started by node-main.mjs. */
import { parentPort } from 'node:worker_threads';
import type { WorkerRequest } from '#shared/wire/worker-message.ts';
import { createDispatch } from './dispatch.ts';

const port = parentPort;
if (port === null) throw new Error('not in a worker thread, where alone node-main.ts can run');

const dispatch = createDispatch({ gpu: undefined, post: (reply, transfer) => port.postMessage(reply, transfer) });

port.on('message', (request: WorkerRequest) => dispatch(request));
