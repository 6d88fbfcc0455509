import { Worker } from 'node:worker_threads';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { CheckReply, WorkCheck } from './check-message.ts';

/** Named by URL, so that nothing of it is loaded in this thread. */
const program = new URL('./check-main.mjs', import.meta.url);
/** A check is some tries, each of milliseconds; the thread itself has to start on a busy machine. */
const TIMEOUT_MS = 60_000;

interface Job {
  readonly check: WorkCheck;
  readonly settle: (outcome: boolean | ChorusError) => void;
}

/** Shown work, checked in a thread of its own, one after the other and in turns by address. */
export interface WorkChecks {
  /**
   * True if it is right. Rejects with `rate-limited` where too much of this address waits already, with `server-lost` where the
   * thread failed, and with `cancelled` at the end.
   */
  check(client: string, check: WorkCheck): Promise<boolean>;
  /** Ends the thread and what waits for it. */
  stop(): void;
}

export interface WorkChecksDeps {
  readonly clock: Pick<Clock, 'setTimer'>;
  /** That may wait of one address. */
  readonly waitingPerAddress: number;
  /** How the thread comes to be; left out but in tests. */
  readonly spawn?: () => Worker;
}

/** The thread starts with the first check, and again with the next one after it was lost. */
export function createWorkChecks({ clock, waitingPerAddress, spawn }: WorkChecksDeps): WorkChecks {
  /** By address, in the order of their turns. */
  const waiting = new Map<string, Job[]>();
  let thread: Worker | null = null;
  let running: Job | null = null;
  let isStopped = false;

  function finish(outcome: boolean | ChorusError): void {
    const job = running;
    running = null;
    job?.settle(outcome);
    next();
  }

  function lose(worker: Worker, reason: string): void {
    if (worker !== thread) return;
    thread = null;
    void worker.terminate();
    finish(new ChorusError('server-lost', reason));
  }

  function start(): Worker {
    const worker = spawn?.() ?? new Worker(program);
    worker.unref();
    worker.on('message', (reply: CheckReply) => {
      if (worker !== thread) return;
      finish('failure' in reply ? new ChorusError('server-lost', reply.failure) : reply.isRight);
    });
    worker.on('error', () => lose(worker, 'the thread that checks work failed'));
    worker.on('exit', () => lose(worker, 'the thread that checks work ended'));
    return worker;
  }

  function next(): void {
    if (running !== null) return;
    const [turn] = waiting;
    if (turn === undefined) return;
    const [client, jobs] = turn;
    const job = jobs.shift()!;
    waiting.delete(client);
    // Its next one comes after one of each other address.
    if (jobs.length > 0) waiting.set(client, jobs);
    thread ??= start();
    const worker = thread;
    const cancel = clock.setTimer(() => lose(worker, 'the thread that checks work does not answer'), TIMEOUT_MS);
    running = {
      ...job,
      settle(outcome) {
        cancel();
        job.settle(outcome);
      },
    };
    worker.postMessage(job.check);
  }

  return {
    check: (client, check) =>
      new Promise((resolve, reject) => {
        const jobs = waiting.get(client) ?? [];
        if (isStopped) return reject(new ChorusError('cancelled', 'the server is stopping'));
        if (jobs.length >= waitingPerAddress)
          return reject(new ChorusError('rate-limited', 'too much shown work of this network address waits already'));
        const settle = (outcome: boolean | ChorusError): void =>
          typeof outcome === 'boolean' ? resolve(outcome) : reject(outcome);
        waiting.set(client, [...jobs, { check, settle }]);
        next();
      }),
    stop() {
      isStopped = true;
      const left = [...(running === null ? [] : [running]), ...[...waiting.values()].flat()];
      waiting.clear();
      running = null;
      void thread?.terminate();
      thread = null;
      for (const { settle } of left) settle(new ChorusError('cancelled', 'the server is stopping'));
    },
  };
}
