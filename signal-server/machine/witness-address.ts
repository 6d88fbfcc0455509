import { ChorusError } from '#shared/errors.ts';
import { COSIGNATURE, parseVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';

/** A witness that is asked to cosign. */
export interface WitnessAddress {
  readonly key: NoteKey;
  /** Its submission prefix (C2SP tlog-witness), with a slash at its end. */
  readonly url: URL;
}

/** Reads `VKEY URL`, as `chorus witness` prints it. Throws `bad-message`. */
export function parseWitnessAddress(text: string): WitnessAddress {
  const [vkey = '', address = '', ...rest] = text.trim().split(/[ \t]+/);
  const url = URL.canParse(address) ? new URL(address) : null;
  if (rest.length > 0 || (url?.protocol !== 'http:' && url?.protocol !== 'https:')) {
    throw new ChorusError('bad-message', 'not a witness: its key, a space and its http(s) URL are needed');
  }
  const key = parseVerifierKey(vkey);
  if (key.type !== COSIGNATURE) throw new ChorusError('bad-message', `${key.name} is not the key of a witness`);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return { key, url };
}
