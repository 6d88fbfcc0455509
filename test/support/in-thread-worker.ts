import { createWorkerClient, type WorkerClient, type WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import { createDispatch } from '../../worker/dispatch.ts';
import { realClock } from './real-clock.ts';

/** Makes clients of one compute thread's program that runs in this thread: one after the other, each ends its own calls. */
export function inThreadWorkers(): () => WorkerClient {
  let current: WorkerPort | null = null;
  const dispatch = createDispatch({ gpu: undefined, post: (reply) => current?.onMessage(reply) });
  return () =>
    createWorkerClient({
      clock: realClock,
      spawn: () => {
        const port: WorkerPort = {
          post: (message) => dispatch(message),
          onMessage: () => undefined,
          onDeath: () => undefined,
          terminate: () => {
            if (current === port) current = null;
          },
        };
        current = port;
        return port;
      },
    });
}
