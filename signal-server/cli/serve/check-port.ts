import { once } from 'node:events';
import { createServer } from 'node:net';
import { ChorusError } from '#shared/errors.ts';
import type { Config } from '../../machine/config.ts';
import { setupError } from '../../machine/file-fault.ts';

/** Throws, with what to do, where nothing can listen at this address. Another process may still take it before the server does. */
export async function checkPort(config: Pick<Config, 'port' | 'host'>): Promise<void> {
  const server = createServer();
  try {
    const failed = once(server, 'error').then(([error]) => Promise.reject(error as Error));
    server.listen(config.port, config.host);
    await Promise.race([once(server, 'listening'), failed]);
  } catch (error) {
    throw listenError(error, config);
  } finally {
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  }
}

/** The error of a server that could not listen, in words; any other as it is. */
export function listenError(error: unknown, { port, host }: Pick<Config, 'port' | 'host'>): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return new ChorusError('internal', `port ${port} is in use: choose another with --port`);
  if (code === 'EACCES')
    return new ChorusError('internal', `this user may not listen on port ${port}: choose one above 1023`);
  if (typeof code === 'string' && /^(?:EADDRNOTAVAIL|ENOTFOUND|EAI_\w+)$/.test(code)) {
    // Some shells set HOST to a word that is none.
    return setupError(
      `this machine has no address "${host.slice(0, 200)}", which --host says, or HOST in the environment. ` +
        'Say --host 0.0.0.0 for all of this machine, or --host 127.0.0.1 for this machine alone',
    );
  }
  return error;
}
