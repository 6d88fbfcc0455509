import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';

/** New identities in the order of their ids, so that a test knows which one is the smaller. */
export async function makeIdentities(count: number): Promise<Identity[]> {
  const made = await Promise.all(Array.from({ length: count }, async () => identityOf(await generateKeyPair())));
  return made.sort((a, b) => (a.id < b.id ? -1 : 1));
}
