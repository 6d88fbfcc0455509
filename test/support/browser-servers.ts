import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { startModelServer } from './model-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where tests in a page find the default model (model-server.ts). */
    modelUrl: string;
    /** Of a signal server without models, which pages of the browser tests may talk to. */
    signalServerUrl: string;
  }
}

/** Ports that vitest's own server takes: the first one, or the next that is free. */
const PAGE_PORTS = Array.from({ length: 32 }, (_, i) => 63_315 + i);

/** Starts what browser tests talk to and tells them where it is; returns how to stop it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [models, signal] = await Promise.all([startModelServer(), startSignalServer()]);
  project.provide('modelUrl', models.url);
  project.provide('signalServerUrl', `http://127.0.0.1:${signal.port}`);
  return async () => {
    await Promise.all([models.stop(), signal.stop()]);
  };
}

/** In a process of its own: timers of the `peer` package cannot be stopped and would keep this one from ending. */
async function startSignalServer(): Promise<{ port: number; stop: () => Promise<void> }> {
  const main = fileURLToPath(new URL('signal-server-main.ts', import.meta.url));
  const origins = PAGE_PORTS.map((port) => `http://localhost:${port}`);
  const child = fork(main, origins, { execArgv: ['--import', 'tsx'] });
  const exited = once(child, 'exit');
  const [port] = (await Promise.race([once(child, 'message'), exited.then(() => [null])])) as [number | null];
  if (port === null) throw new Error('the signal server for browser tests did not start');
  return {
    port,
    async stop() {
      child.disconnect();
      await exited;
    },
  };
}
