import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { RunnerMessage, RunRequest } from './runner.ts';

export type Ran =
  | { readonly type: 'passed' }
  | { readonly type: 'failed'; readonly test: string }
  | { readonly type: 'timeout' };

/** It loads every test file, which takes a busy machine minutes. */
const START_LIMIT_MS = 300_000;

/** Runs test files in a process that is begun anew where it hangs or dies. */
export class TestProcess {
  readonly #root: string;
  readonly #limitMs: number;
  readonly #changed = new Set<string>();
  #child: ChildProcess | null = null;

  constructor(root: string, limitMs: number) {
    this.#root = root;
    this.#limitMs = limitMs;
  }

  /** All test files that it can run. */
  async start(): Promise<readonly string[]> {
    const path = fileURLToPath(new URL('runner.ts', import.meta.url));
    // A group of its own, to be ended with all that it has started.
    const child = fork(path, [this.#root], {
      cwd: this.#root,
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    const ready = await this.#next(child, START_LIMIT_MS);
    if (ready?.type !== 'ready') throw new Error('the tests cannot be run');
    return ready.tests;
  }

  /** Says that a file was written anew. */
  changed(file: string): void {
    this.#changed.add(file);
  }

  /** Runs these in turn, until one fails. */
  async run(tests: readonly string[]): Promise<Ran> {
    if (this.#child === null) await this.start();
    const child = this.#child!;
    child.send({ changed: [...this.#changed], tests } satisfies RunRequest);
    this.#changed.clear();
    const message = await this.#next(child, this.#limitMs);
    if (message?.type !== 'ran') {
      this.stop();
      return { type: 'timeout' };
    }
    return message.failed === null ? { type: 'passed' } : { type: 'failed', test: message.failed };
  }

  stop(): void {
    const pid = this.#child?.pid;
    this.#child = null;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }

  /** Null if it takes too long, or the process ends. */
  #next(child: ChildProcess, limitMs: number): Promise<RunnerMessage | null> {
    return new Promise((resolve) => {
      const done = (message: RunnerMessage | null): void => {
        clearTimeout(timer);
        child.off('message', done);
        child.off('exit', ended);
        resolve(message);
      };
      const ended = (): void => done(null);
      const timer = setTimeout(ended, limitMs);
      child.on('message', done);
      child.on('exit', ended);
    });
  }
}
