import { z } from 'zod';

/** SHA-256 of the raw 32-byte Ed25519 public key, 64 lower-case hexadecimal digits. Also the PeerJS id. */
export type PeerId = string & { readonly brand: 'PeerId' };
/** 16 random bytes chosen by the server, 32 lower-case hexadecimal digits. */
export type SessionId = string & { readonly brand: 'SessionId' };
/** SHA-256 of a blob's bytes, 64 lower-case hexadecimal digits. */
export type Digest = string & { readonly brand: 'Digest' };

const hex64 = z.string().regex(/^[0-9a-f]{64}$/);

export const peerIdSchema = hex64.transform((text) => text as PeerId);
export const digestSchema = hex64.transform((text) => text as Digest);
export const sessionIdSchema = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((text) => text as SessionId);

/** The first digits of an id, enough to tell volunteers apart on a page. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
