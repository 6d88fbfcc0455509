import { Worker } from 'node:worker_threads';
import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { EncodedPrompt, EncoderReply, EncoderRequest, TokenizerFiles } from './encoder-message.ts';

/** Named by URL, so that nothing of it is loaded in this thread. */
const program = new URL('./encoder-main.mjs', import.meta.url);
/** The largest body takes some seconds; whatever takes longer holds others up. */
const TIMEOUT_MS = 30_000;

/** A prompt to be read, and where the files of its model are. */
export interface EncoderTask extends Omit<EncoderRequest, 'files'> {
  readonly readFiles: () => Promise<TokenizerFiles>;
}

interface Job {
  readonly task: EncoderTask;
  readonly settle: (reply: EncoderReply) => void;
}

/** Prompts read in a thread of their own, one after the other: a long one takes seconds, in which sockets must be served. */
export interface EncoderThread {
  /**
   * Rejects as `chatPrompt` and `encodePrompt` throw, with `timeout` for one that takes too long, with `worker-lost` where the
   * thread ended, and with what `readFiles` rejects with.
   */
  encode(task: EncoderTask): Promise<EncodedPrompt>;
  /** Ends the thread, and what waits for it with `cancelled`. */
  stop(): void;
}

/** The thread starts with the first prompt, and again with the next one after it was lost. */
export function createEncoderThread(clock: Clock, timeoutMs = TIMEOUT_MS): EncoderThread {
  let thread: Worker | null = null;
  let known = new Set<Digest>();
  let waiting: readonly Job[] = [];
  let running: Job | null = null;
  let isStopped = false;

  function lose(error: ChorusError): void {
    const lost = thread;
    thread = null;
    known = new Set();
    void lost?.terminate();
    finish({ type: 'failure', code: error.code, message: error.message });
  }

  function finish(reply: EncoderReply): void {
    const job = running;
    running = null;
    job?.settle(reply);
    next();
  }

  function start(): Worker {
    const worker = new Worker(program);
    const die = (message: string): void => {
      if (worker === thread) lose(new ChorusError('worker-lost', message));
    };
    worker.on('message', (reply: EncoderReply) => {
      if (worker !== thread || running === null) return;
      const isOpen = reply.type === 'encoded' || reply.code !== 'bad-model';
      if (isOpen) known.add(running.task.model);
      finish(reply);
    });
    worker.on('error', () => die('the thread that reads prompts failed'));
    worker.on('exit', () => die('the thread that reads prompts ended'));
    return worker;
  }

  async function run({ task, settle }: Job): Promise<void> {
    const { readFiles, ...request } = task;
    const isKnown = known.has(request.model);
    const files = isKnown ? null : await readFiles();
    if (running?.task !== task) return;
    thread ??= start();
    const late = new ChorusError('timeout', `the prompt could not be read within ${timeoutMs / 1000} s`);
    const cancel = clock.setTimer(() => lose(late), timeoutMs);
    running = {
      task,
      settle(reply) {
        cancel();
        settle(reply);
      },
    };
    thread.postMessage({ ...request, files } satisfies EncoderRequest);
  }

  function next(): void {
    const [job, ...others] = waiting;
    if (running !== null || job === undefined) return;
    waiting = others;
    running = job;
    run(job).catch((thrown: unknown) => {
      const { code, message } = toChorusError(thrown);
      finish({ type: 'failure', code, message });
    });
  }

  return {
    encode: (task) =>
      new Promise((resolve, reject) => {
        if (isStopped) return reject(new ChorusError('cancelled', 'the server is stopping'));
        const settle = (reply: EncoderReply): void => {
          if (reply.type === 'encoded') resolve(reply);
          else reject(new ChorusError(reply.code, reply.message));
        };
        waiting = [...waiting, { task, settle }];
        next();
      }),
    stop() {
      isStopped = true;
      const left = [...(running === null ? [] : [running]), ...waiting];
      waiting = [];
      running = null;
      void thread?.terminate();
      thread = null;
      for (const { settle } of left) settle({ type: 'failure', code: 'cancelled', message: 'the server is stopping' });
    },
  };
}
