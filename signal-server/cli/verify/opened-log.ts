import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { LogClient, type HeadMemory } from '#shared/log/log-client.ts';
import { fetchLogHead, type LogHead } from '#shared/log/log-head.ts';
import type { NoteKey } from '#shared/log/signed-note.ts';
import { logFilesAt } from '../../log/fetch-log.ts';

/** A log as it shows itself now, to be read through. */
export interface OpenedLog {
  readonly client: Pick<LogClient, 'entries'>;
  readonly head: LogHead;
}

/** Nothing is remembered here: the log was held to what was seen of it before. */
const NO_MEMORY: HeadMemory = {
  load: async () => null,
  save: async () => undefined,
  loadSplit: async () => null,
  saveSplit: async () => undefined,
};

/** Opens the log with this key at a server. Rejects as `fetchLogHead`. */
export async function openLog(key: NoteKey, logUrl: URL, signal: AbortSignal): Promise<OpenedLog> {
  const fetchBytes = logFilesAt(logUrl);
  const client = new LogClient({ key, fetchBytes, memory: NO_MEMORY, verify });
  return { client, head: await fetchLogHead(key, fetchBytes, verify, signal) };
}
