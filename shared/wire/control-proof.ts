import { concatBytes, utf8 } from '../bytes.ts';

/** The keys and nonces that both ends of a control socket know after `challenge` and `prove`. Keys: raw Ed25519, 32 bytes. Nonces: CONTROL_NONCE_BYTES. */
export interface ControlTranscript {
  readonly serverKey: Uint8Array;
  readonly peerKey: Uint8Array;
  readonly serverNonce: Uint8Array;
  readonly peerNonce: Uint8Array;
}

export const CONTROL_NONCE_BYTES = 32;

/**
 * The bytes that `side` signs to prove its key on a control socket. Both keys and both nonces are in it, so that a
 * proof made for one server, peer or connection is good for no other; the label keeps it apart from everything else
 * that is signed with the same keys.
 */
export function controlProofBytes(side: 'peer' | 'server', transcript: ControlTranscript): Uint8Array<ArrayBuffer> {
  const { serverKey, peerKey, serverNonce, peerNonce } = transcript;
  return concatBytes(utf8(`chorus control ${side} v1\n`), serverKey, peerKey, serverNonce, peerNonce);
}
