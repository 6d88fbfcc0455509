import type { Digest } from '#shared/ids.ts';
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
  /** What the liar's second thread made of it; null without one. */
  readonly other: RunResult | null;
}

/** A second thread beside the true one, that gets the same calls: with other weights, or fed otherwise. */
export interface Twin {
  readonly weights?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** `runs` counts those of the session, this one included. */
  readonly feed?: (request: RunRequest, runs: number) => RunRequest;
}

export interface ThreadLies {
  readonly twin?: Twin;
  /** The class that it says it computes in. */
  readonly numericClass?: string;
  /** The milliseconds that it says a layer takes. */
  readonly layerMs?: number;
  tell(run: MetRun): Told;
}

/** A compute thread that computes truly, and a hand between it and its volunteer that changes what it says. */
export function hostileThread({ numericClass, layerMs, tell, twin }: ThreadLies): WorkerPort {
  const port = spawnWorkerThread();
  const second = twin === undefined ? null : startTwin(twin);
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
      second?.post(message);
      post(message, transfer);
    },
    onMessage: () => {},
    onDeath: () => {},
    terminate() {
      port.terminate();
      second?.terminate();
    },
  };
  port.onDeath = (reason) => hand.onDeath(reason);
  const hear = (message: WorkerReply, other: RunResult | null): void => {
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
    const told = tell({ request, result: message.body, sessions, runs: count, other });
    if (told === 'silence') return;
    const reply = { ...message, body: told.result };
    if (told.delayMs === undefined) hand.onMessage(reply);
    else setTimeout(() => hand.onMessage(reply), told.delayMs);
  };
  port.onMessage = (message: WorkerReply) => {
    const isRun = message.type === 'reply' && requests.has(message.id);
    if (!isRun || second === null) return hear(message, null);
    void second.resultOf(message.id).then((other) => hear(message, other));
  };
  return hand;
}

interface Awaited {
  readonly promise: Promise<RunResult | null>;
  readonly resolve: (result: RunResult | null) => void;
}

function awaited(): Awaited {
  let resolve: Awaited['resolve'] = () => undefined;
  const promise = new Promise<RunResult | null>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Results by the number of their call, in the order of calls. */
function startTwin({ weights, feed }: Twin) {
  const port = spawnWorkerThread();
  const results = new Map<number, Awaited>();
  const runs = new Map<string, number>();
  const waiting = (id: number) => {
    const found = results.get(id) ?? awaited();
    results.set(id, found);
    return found;
  };
  port.onMessage = (reply: WorkerReply) => {
    if (reply.type === 'reply' && reply.body !== null && 'output' in reply.body) waiting(reply.id).resolve(reply.body);
    if (reply.type === 'failure') waiting(reply.id).resolve(null);
  };
  let posted = Promise.resolve();
  const changed = async (message: WorkerRequest): Promise<WorkerRequest> => {
    if (message.call === 'load') {
      const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
      const parts = new Set(message.body.manifest.parts.map(({ blob }) => blob.digest));
      for (const [digest, blob] of message.body.blobs) {
        const bytes = blob instanceof Blob ? new Uint8Array(await blob.arrayBuffer()) : blob.slice();
        blobs.set(digest, (parts.has(digest) && weights?.(bytes)) || bytes);
      }
      return { ...message, body: { ...message.body, blobs, probe: false } };
    }
    if (message.call !== 'run') return message;
    const { session, input } = message.body;
    const count = (runs.get(session) ?? 0) + 1;
    runs.set(session, count);
    const own = { ...message.body, input: { ...input, bytes: input.bytes.slice() } };
    return { ...message, body: feed?.(own, count) ?? own };
  };
  return {
    /** Takes a copy: the true thread takes the bytes away. */
    post(message: WorkerRequest): void {
      const copy = message.call === 'run' ? structuredClone(message) : message;
      posted = posted.then(async () => port.post(await changed(copy), []));
    },
    async resultOf(id: number): Promise<RunResult | null> {
      const result = await waiting(id).promise;
      results.delete(id);
      return result;
    },
    terminate: () => port.terminate(),
  };
}
