import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The sockets of a server in a process of their own. */
export interface EdgeProcess {
  /** Where peers connect. */
  readonly url: string;
  /** Leads to its end of the router. */
  readonly stream: Duplex;
  stop(): Promise<void>;
  /** Without a word to anybody. */
  kill(): Promise<void>;
}

/** Starts the edge of the server with this data folder and waits until it listens. */
export async function startEdgeProcess(dataFolder: string): Promise<EdgeProcess> {
  const main = fileURLToPath(new URL('edge-process-main.ts', import.meta.url));
  const child = fork(main, [dataFolder], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
  });
  const exited = once(child, 'exit');
  const [port] = (await Promise.race([once(child, 'message'), exited.then(() => [null])])) as [number | null];
  if (port === null) throw new Error('the edge did not start');
  return {
    url: `http://127.0.0.1:${port}`,
    stream: child.stdio[4] as Duplex,
    async stop() {
      if (child.connected) child.disconnect();
      await exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
