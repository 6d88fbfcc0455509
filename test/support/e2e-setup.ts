import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { TestProject } from 'vitest/node';
import { startServer } from './server-process.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A data folder with the default model in it, to be copied. */
    dataTemplate: string;
  }
}

/** Builds the page if that has not been done, and lets a first server import the default model. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  if (!existsSync(join(root, 'dist/web/index.html')))
    await build({ configFile: join(root, 'vite.config.ts'), logLevel: 'warn' });
  const dataFolder = await mkdtemp(join(tmpdir(), 'chorus-template-'));
  const server = await startServer({ anchors: 0, dataFolder, extraArguments: ['--stand-ins', '0'] });
  await server.stop();
  project.provide('dataTemplate', dataFolder);
  return () => rm(dataFolder, { recursive: true, force: true });
}
