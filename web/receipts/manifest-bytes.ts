import { fromBase64 } from '#shared/bytes.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';

/**
 * The manifest named `digest`, as it was hashed, from what a server gave for it. Its signature need not be looked at: the
 * name says which bytes it is. Throws `bad-message`, or `digest-mismatch` for another manifest.
 */
export function manifestBytes({ payload }: Envelope, digest: Digest): Uint8Array<ArrayBuffer> {
  const bytes = decode(payload);
  if (digestOf(bytes) === digest) return bytes;
  throw new ChorusError('digest-mismatch', 'the server gave another manifest than the one of this digest');
}

function decode(payload: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(payload);
  } catch {
    throw new ChorusError('bad-message', 'the server’s manifest is not base64');
  }
}
