import { Worker } from 'node:worker_threads';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { WorkerReply } from '#shared/wire/worker-message.ts';

/** The compute thread's program; named by URL, as the page does, so that nothing of it is loaded in this thread. */
const program = new URL('../../worker/node-main.mjs', import.meta.url);

/** Starts a fresh compute thread. */
export function spawnWorkerThread(): WorkerPort {
  const worker = new Worker(program);
  let isDead = false;

  const port: WorkerPort = {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: () => {},
    onDeath: () => {},
    terminate: () => void worker.terminate(),
  };
  const die = (reason: string) => {
    if (isDead) return;
    isDead = true;
    port.onDeath(reason);
  };
  worker.on('message', (message: WorkerReply) => port.onMessage(message));
  worker.on('messageerror', (error) => die(`the compute thread sent what cannot be read: ${error.message}`));
  worker.on('error', (error) => die(`the compute thread failed: ${error.message}`));
  worker.on('exit', (code) => die(`the compute thread ended with code ${code}`));
  return port;
}
