import { lookup } from 'node:dns/promises';
import { setupError } from '../../machine/file-fault.ts';

/** Throws `internal`, for the operator, where `host` is no address and no name of one. Some shells set HOST to such a word. */
export async function demandHost(host: string): Promise<void> {
  await lookup(host).catch(() => {
    throw setupError(
      `"${host.slice(0, 200)}" is no address to listen on, and no name of one; --host says so, or HOST in the environment. ` +
        'Say --host 0.0.0.0 for all of this machine, or --host 127.0.0.1 for this machine alone.',
    );
  });
}
