/** The thread that makes the proofs of draws: each message is an input, answered with its output and proof. Started by vrf-main.mjs. */
import { parentPort, workerData } from 'node:worker_threads';
import { VrfKey } from '#shared/draw/vrf.ts';
import type { VrfReply, VrfRequest } from './vrf-thread.ts';

const port = parentPort;
if (port === null) throw new Error('not in a worker thread, where alone vrf-main.ts can run');

const key = new VrfKey(workerData as Uint8Array<ArrayBuffer>);
port.on('message', ({ id, input }: VrfRequest) => {
  port.postMessage({ id, result: key.prove(input) } satisfies VrfReply);
});
port.postMessage('ready');
