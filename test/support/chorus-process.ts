import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A `chorus` command that runs until it is stopped, as a person starts it. */
export interface ChorusProcess {
  /** The match of `ready` in its output. */
  readonly ready: RegExpExecArray;
  /** As Ctrl-C does, and with force after 10 s. */
  stop(): Promise<void>;
}

const startTimeoutMs = 120_000;
const repository = fileURLToPath(new URL('../../', import.meta.url));

/** Waits until the output matches `ready`; throws with the output if it ends or is silent before. */
export async function startChorus(args: readonly string[], ready: RegExp): Promise<ChorusProcess> {
  const child = spawn(process.execPath, ['bin/chorus.mjs', ...args], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    return { ready: await matched(child, ready), stop: () => endProcess(child) };
  } catch (error) {
    await endProcess(child);
    throw error;
  }
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(force);
}

function matched(child: ChildProcess, ready: RegExp): Promise<RegExpExecArray> {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new Error(`${reason}; it said:\n${output}`));
    const timer = setTimeout(() => fail(`not ready within ${startTimeoutMs} ms`), startTimeoutMs);
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(`ended with code ${code}`);
    });
    const read = (data: Buffer): void => {
      output += data.toString();
      const match = ready.exec(output);
      if (match === null) return;
      clearTimeout(timer);
      resolve(match);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
  });
}

/** Runs a `chorus` command to its end. */
export function runChorus(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { cwd: repository, timeout: startTimeoutMs, maxBuffer: 1 << 24 };
    const child = execFile(process.execPath, ['bin/chorus.mjs', ...args], options, (_, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });
}
