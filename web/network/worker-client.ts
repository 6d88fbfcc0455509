import type { Clock } from '#shared/clock.ts';
import { createWorkerClient, type WorkerClient, type WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { WorkerReply } from '#shared/wire/worker-message.ts';

/** Starts the compute thread; `onGone` is called where its program cannot be loaded. The one place of the page that names it. */
export function spawnWorker(onGone: () => void = () => undefined): WorkerPort {
  const worker = new Worker(new URL('../../worker/main.ts', import.meta.url), {
    type: 'module',
    name: 'chorus-compute',
  });
  const port: WorkerPort = {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: () => {},
    onDeath: () => {},
    terminate: () => worker.terminate(),
  };
  worker.onmessage = (event: MessageEvent<WorkerReply>) => port.onMessage(event.data);
  worker.onerror = ({ message }) => {
    // A script that cannot be loaded fails without a message.
    if (message) return port.onDeath('the compute thread failed', message);
    port.onDeath('the compute thread could not be started');
    onGone();
  };
  worker.onmessageerror = () => port.onDeath('the compute thread sent what cannot be read');
  return port;
}

/** The compute thread of this tab; there is none until it is prepared or started. */
export function createTabWorker(clock: Clock, onGone: () => void): WorkerClient {
  return createWorkerClient({ spawn: () => spawnWorker(onGone), clock });
}
