import { fromBase64 } from '#shared/bytes.ts';
import { peerIdOf, type Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { PROTOCOL_VERSION } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { CONTROL_NONCE_BYTES, controlProofBytes } from '#shared/wire/control-proof.ts';

/** The key that a peer has proven, with its nonce. Throws `protocol-version`, `bad-message` or `bad-signature`. */
export async function checkProof(
  prove: Extract<PeerControlMessage, { type: 'prove' }>,
  server: Identity,
  serverNonce: Uint8Array,
): Promise<{ id: PeerId; publicKey: Uint8Array<ArrayBuffer>; peerNonce: Uint8Array<ArrayBuffer> }> {
  if (prove.protocol !== PROTOCOL_VERSION) {
    throw new ChorusError(
      'protocol-version',
      `this server speaks protocol ${PROTOCOL_VERSION}, the page ${prove.protocol}: reload it`,
    );
  }
  const publicKey = decode(prove.publicKey, 32, 'publicKey');
  const peerNonce = decode(prove.nonce, CONTROL_NONCE_BYTES, 'nonce');
  const signature = decode(prove.signature, 64, 'signature');
  const proof = controlProofBytes('peer', { serverKey: server.publicKey, peerKey: publicKey, serverNonce, peerNonce });
  if (!(await verifySignature(publicKey, proof, signature)))
    throw new ChorusError('bad-signature', 'the proof is not by this key');
  return { id: peerIdOf(publicKey), publicKey, peerNonce };
}

function decode(text: string, length: number, field: string): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer> | null;
  try {
    bytes = fromBase64(text);
  } catch {
    bytes = null;
  }
  if (bytes?.length !== length) {
    throw new ChorusError('bad-message', `${field} is malformed; ${length} bytes in base64 are expected`);
  }
  return bytes;
}
