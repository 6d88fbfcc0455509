import { ChorusError } from '#shared/errors.ts';

/** What a command asks of a server; where nobody answers, the error says what to do. */
export async function reachServer<Value>(server: URL, asked: Promise<Value>): Promise<Value> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ChorusError) || error.code !== 'server-lost') throw error;
    const advice = 'Start a server there (chorus serve), or name another with --server';
    const named = error.message.includes(server.origin) ? error.message : `${server.origin}: ${error.message}`;
    throw new ChorusError(error.code, `${named.replace(/\.$/, '')}. ${advice}.`, error.details);
  }
}
