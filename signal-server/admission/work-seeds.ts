import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, fromHex } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';

/** How long a key that has shown its work is known at least. */
const EPOCH_MS = 60 * 60_000;

/** The hour that work is of. */
export function epochOf(wallMs: number): number {
  return Math.floor(wallMs / EPOCH_MS);
}

/**
 * What a key's work is about in an hour: nothing is kept of it until the work comes back, and a server that starts again asks for the same,
 * so that whoever has done it shows it once more.
 */
export async function openWorkSeeds(
  identity: Identity,
): Promise<(peer: PeerId, epoch: number) => Uint8Array<ArrayBuffer>> {
  // Ed25519 signs the same bytes the same way each time, and nobody else is shown this signature.
  const secret = sha256(await identity.sign(new TextEncoder().encode('chorus work secret v1\n')));
  return (peer, epoch) => {
    const hour = new Uint8Array(8);
    new DataView(hour.buffer).setBigUint64(0, BigInt(epoch), true);
    return new Uint8Array(hmac(sha256, secret, concatBytes(fromHex(peer), hour)));
  };
}
