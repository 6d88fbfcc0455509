import { ChorusError } from '#shared/errors.ts';
import { ED25519, parseVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';
import type { FetchBytes } from '#shared/log/verified-tiles.ts';
import { request } from '../machine/http-answer.ts';

const MAX_KEY_BYTES = 1_024;
const TIMEOUT_MS = 10_000;

/** Where a log lies: a Chorus server has it under `/log`. */
export function logPrefix(url: URL): URL {
  const path = url.pathname.replace(/\/+$/, '');
  return new URL(`${path.endsWith('/log') ? path : `${path}/log`}/`, url);
}

/** Reads the files of the log of a Chorus server, or under the prefix of another log. */
export function logFilesAt(url: URL): FetchBytes {
  const prefix = logPrefix(url);
  return async (path, maxBytes, signal) => {
    const place = new URL(path, prefix);
    const { status, body } = await request(place, {}, { maxBytes, timeoutMs: TIMEOUT_MS, signal });
    if (status !== 200) throw new ChorusError('server-lost', `${place.href} answered ${status}: is a log there?`);
    return body;
  };
}

/** The key that a log shows. Throws `bad-message` if it is not that of a log, and as `request`. */
export async function fetchLogKey(url: URL, signal: AbortSignal): Promise<NoteKey> {
  const text = new TextDecoder().decode(await logFilesAt(url)('vkey', MAX_KEY_BYTES, signal));
  const key = parseVerifierKey(text.trim());
  if (key.type !== ED25519) throw new ChorusError('bad-message', `${url.href} does not show the key of a log`);
  return key;
}
