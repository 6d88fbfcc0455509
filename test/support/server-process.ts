import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChorus } from './chorus-process.ts';

/** A signal server as an operator starts it: its own process, its own data folder, a port the system chose. */
export interface ServerProcess {
  readonly url: string;
  readonly dataFolder: string;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly anchors: number;
  readonly minStages?: number;
  /** A data folder to begin with, copied, so that models need no second import. */
  readonly template?: string;
  /** A data folder to use and leave; a temporary one if left out. */
  readonly dataFolder?: string;
  readonly extraArguments?: readonly string[];
}

/** Starts `chorus serve` and waits until it says where it listens; throws with its output if it does not. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const dataFolder = options.dataFolder ?? (await mkdtemp(join(tmpdir(), 'chorus-data-')));
  if (options.template !== undefined) await cp(options.template, dataFolder, { recursive: true });
  const args = [
    ...['serve', '--host', '127.0.0.1', '--port', '0', '--data', dataFolder, '--anchors', String(options.anchors)],
    ...(options.minStages === undefined ? [] : ['--min-stages', String(options.minStages)]),
    ...(options.extraArguments ?? []),
  ];
  const clean = async (): Promise<void> => {
    if (options.dataFolder === undefined) await rm(dataFolder, { recursive: true, force: true });
  };
  try {
    const { ready, stop } = await startChorus(args, /http:\/\/[\w.[\]:-]+:\d+/);
    return { url: ready[0], dataFolder, stop: () => stop().then(clean) };
  } catch (error) {
    await clean();
    throw error;
  }
}
