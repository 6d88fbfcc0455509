import type { TestProject } from 'vitest/node';
import { startInProcessServer } from './in-process-server.ts';
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
  const [models, signal] = await Promise.all([
    startModelServer(),
    startInProcessServer(PAGE_PORTS.map((port) => `http://localhost:${port}`)),
  ]);
  project.provide('modelUrl', models.url);
  project.provide('signalServerUrl', `http://127.0.0.1:${signal.port}`);
  return async () => {
    await Promise.all([models.stop(), signal.stop()]);
  };
}
