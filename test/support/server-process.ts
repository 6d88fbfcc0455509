import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

const startTimeoutMs = 120_000;
const repository = fileURLToPath(new URL('../../', import.meta.url));

/** Starts `chorus serve` and waits until it says where it listens; throws with its output if it does not. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const dataFolder = options.dataFolder ?? (await mkdtemp(join(tmpdir(), 'chorus-data-')));
  if (options.template !== undefined) await cp(options.template, dataFolder, { recursive: true });
  const args = [
    ...['bin/chorus.mjs', 'serve', '--host', '127.0.0.1', '--port', '0', '--data', dataFolder],
    ...['--anchors', String(options.anchors)],
    ...(options.minStages === undefined ? [] : ['--min-stages', String(options.minStages)]),
    ...(options.extraArguments ?? []),
  ];
  const child = spawn(process.execPath, args, { cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = async (): Promise<void> => {
    await endProcess(child);
    if (options.dataFolder === undefined) await rm(dataFolder, { recursive: true, force: true });
  };
  try {
    return { url: await listeningUrl(child), dataFolder, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ends a process as Ctrl-C does, and with force after 10 s. */
async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(force);
}

function listeningUrl(child: ChildProcess): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`${reason}; the server said:\n${output}`));
    const timer = setTimeout(() => fail(`no address within ${startTimeoutMs} ms`), startTimeoutMs);
    child.once('exit', (code) => fail(`the server ended with code ${code}`));
    const read = (data: Buffer): void => {
      output += data.toString();
      const url = /http:\/\/[\w.[\]:-]+:\d+/.exec(output)?.[0];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
  });
}
