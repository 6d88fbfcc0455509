import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import type { RunRequest, RunResult } from '#shared/rows/compute.ts';
import type { WorkerReply, WorkerRequest } from '#shared/wire/worker-message.ts';
import { spawnWorkerThread } from '../../../signal-server/node-peer/worker-thread.ts';

/** The fate of one run's true result: changed, kept back for a while, or never given. */
export type Told = { readonly result: RunResult; readonly delayMs?: number } | 'silence';

/** One run as a liar meets it. */
export interface MetRun {
  readonly request: RunRequest;
  readonly result: RunResult;
  /** Sessions that this key has opened, this one included. */
  readonly sessions: number;
  /** Runs of this session, this one included. */
  readonly runs: number;
}

export interface ThreadLies {
  /** The class that it says it computes in. */
  readonly numericClass?: string;
  /** The milliseconds that it says a layer takes. */
  readonly layerMs?: number;
  tell(run: MetRun): Told;
}

/** A compute thread that computes truly, and a hand between it and its volunteer that changes what it says. */
export function hostileThread({ numericClass, layerMs, tell }: ThreadLies): WorkerPort {
  const port = spawnWorkerThread();
  const requests = new Map<number, RunRequest>();
  const runs = new Map<string, number>();
  let sessions = 0;
  const post = port.post.bind(port);
  const hand: WorkerPort = {
    post(message: WorkerRequest, transfer) {
      if (message.call === 'open') {
        sessions += 1;
        runs.set(message.body.session, 0);
      }
      if (message.call === 'run') {
        // The thread takes the bytes away.
        const { input } = message.body;
        requests.set(message.id, { ...message.body, input: { ...input, bytes: input.bytes.slice() } });
      }
      post(message, transfer);
    },
    onMessage: () => {},
    onDeath: () => {},
    terminate: () => port.terminate(),
  };
  port.onDeath = (reason) => hand.onDeath(reason);
  port.onMessage = (message: WorkerReply) => {
    if (message.type !== 'reply' || message.body === null) return hand.onMessage(message);
    if ('numericClass' in message.body) {
      const said = { ...message.body, ...(numericClass !== undefined && { numericClass }) };
      return hand.onMessage({
        ...message,
        body: 'layerMs' in said && layerMs !== undefined ? { ...said, layerMs } : said,
      });
    }
    const request = requests.get(message.id);
    requests.delete(message.id);
    if (request === undefined || !('output' in message.body)) return hand.onMessage(message);
    const count = (runs.get(request.session) ?? 0) + 1;
    runs.set(request.session, count);
    const told = tell({ request, result: message.body, sessions, runs: count });
    if (told === 'silence') return;
    const reply = { ...message, body: told.result };
    if (told.delayMs === undefined) hand.onMessage(reply);
    else setTimeout(() => hand.onMessage(reply), told.delayMs);
  };
  return hand;
}
