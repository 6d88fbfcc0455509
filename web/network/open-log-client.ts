import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { LogClient, type HeadMemory } from '#shared/log/log-client.ts';
import { parseVerifierKey } from '#shared/log/signed-note.ts';
import { fetchLogFile } from './api.ts';

/** Reads the log of this server, whose key is given as it shows it. Throws `bad-message` for what is no key. */
export function openLogClient(vkey: string, memory: HeadMemory): LogClient {
  return new LogClient({ key: parseVerifierKey(vkey), fetchBytes: fetchLogFile, memory, verify: verifySignature });
}
