import { vi } from 'vitest';
import { runCommandLine } from '../../signal-server/cli/main.ts';

/** Runs a `chorus` command to its end in this process, which saves starting one. One at a time: it takes what the process writes. */
export async function callChorus(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const taking = (key: keyof typeof written, stream: NodeJS.WriteStream) =>
    vi.spyOn(stream, 'write').mockImplementation((data) => {
      written[key] += typeof data === 'string' ? data : new TextDecoder().decode(data);
      return true;
    });
  const spies = [taking('out', process.stdout), taking('err', process.stderr)];
  const { exitCode } = process;
  process.exitCode = undefined;
  try {
    await runCommandLine([process.execPath, 'chorus', ...args]);
    return { code: Number(process.exitCode ?? 0), ...written };
  } finally {
    process.exitCode = exitCode;
    for (const spy of spies) spy.mockRestore();
  }
}
