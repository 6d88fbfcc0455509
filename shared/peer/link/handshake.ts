import { concatBytes, fromHex, utf8 } from '../../bytes.ts';
import type { Clock, RandomBytes } from '../../clock.ts';
import { peerIdOf, type Identity, type VerifySignature } from '../../crypto/identity.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { HANDSHAKE_TIMEOUT_MS, LINK_WINDOW_BYTES, PROTOCOL_VERSION } from '../../limits.ts';
import type { Channel } from './channel.ts';

/*
 * The first two pieces on a channel, the same in both directions and sent by both sides at once:
 *
 *   hello   u8 1, u16 protocol version little-endian, public key[32], nonce[32]
 *   proof   u8 2, Ed25519 signature[64] over
 *           "chorus link v1\n", u16 protocol version, signer's id[32], other's id[32], signer's nonce[32],
 *           other's nonce[32], the channel's binding in UTF-8
 *
 * The signer's id comes first, so that a proof sent back to its maker proves nothing.
 */

const HELLO = 1;
const PROOF = 2;
const KEY_BYTES = 32;
const NONCE_BYTES = 32;
const HELLO_BYTES = 3 + KEY_BYTES + NONCE_BYTES;
const PROOF_BYTES = 65;

export interface HandshakeDeps {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly verify: VerifySignature;
}

interface Hello {
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly nonce: Uint8Array<ArrayBuffer>;
}

/**
 * Proves both keys to each other. Resolves with the inbox that holds whatever came after the handshake. Rejects, with
 * the channel closed, with `wrong-peer` (the key is not that of `peer`), `bad-signature`, `protocol-version`,
 * `bad-message`, `timeout`, `cancelled` or `link-lost`.
 */
export async function shakeHands(
  channel: Channel,
  peer: PeerId,
  { identity, clock, random, verify }: HandshakeDeps,
  signal: AbortSignal,
): Promise<PieceInbox> {
  const inbox = new PieceInbox(channel);
  const stopTimer = clock.setTimer(
    () => inbox.fail(new ChorusError('timeout', 'the other side did not prove its key in time')),
    HANDSHAKE_TIMEOUT_MS,
  );
  const onAbort = (): void => inbox.fail(new ChorusError('cancelled', 'no longer wanted'));
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    if (peer === identity.id) throw new ChorusError('wrong-peer', 'a link to itself; a peer links to others only');
    const own: Hello = { publicKey: identity.publicKey, nonce: random(NONCE_BYTES) };
    inbox.throwIfFailed();
    channel.send(encodeHello(own));
    const other = parseHello(await inbox.next());
    if (peerIdOf(other.publicKey) !== peer) {
      throw new ChorusError('wrong-peer', 'the key at the other end is not that of the peer that was called');
    }
    const signature = await identity.sign(proofBytes(identity.id, peer, own.nonce, other.nonce, channel.binding));
    inbox.throwIfFailed();
    channel.send(concatBytes(Uint8Array.of(PROOF), signature));
    const proof = parseProof(await inbox.next());
    const signed = proofBytes(peer, identity.id, other.nonce, own.nonce, channel.binding);
    if (!(await verify(other.publicKey, signed, proof))) {
      throw new ChorusError('bad-signature', 'the other side does not hold the key it showed');
    }
    inbox.throwIfFailed();
    return inbox;
  } catch (thrown) {
    const error = toChorusError(thrown);
    channel.close(error.message);
    throw error;
  } finally {
    stopTimer();
    signal.removeEventListener('abort', onAbort);
  }
}

/** Keeps what a channel delivers until somebody takes it. */
export class PieceInbox {
  readonly #pieces: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #failure: ChorusError | undefined;
  #closeReason: string | undefined;
  #wake: () => void = () => {};

  constructor(channel: Channel) {
    channel.onPiece = (piece) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#bytes > LINK_WINDOW_BYTES) this.fail(new ChorusError('too-large', 'too much before the handshake'));
      this.#wake();
    };
    channel.onClose = (reason) => {
      this.#closeReason = reason;
      this.fail(new ChorusError('link-lost', reason));
    };
  }

  fail(error: ChorusError): void {
    this.#failure ??= error;
    this.#wake();
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  async next(): Promise<Uint8Array<ArrayBuffer>> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece) {
        this.#bytes -= piece.length;
        return piece;
      }
      this.throwIfFailed();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Sets the channel's listeners to `to` and gives them what came so far. */
  handOver(channel: Channel, to: Pick<Channel, 'onPiece' | 'onClose'>): void {
    channel.onPiece = to.onPiece;
    channel.onClose = to.onClose;
    for (const piece of this.#pieces.splice(0)) to.onPiece(piece);
    if (this.#closeReason !== undefined) to.onClose(this.#closeReason);
  }
}

function proofBytes(
  signer: PeerId,
  other: PeerId,
  signerNonce: Uint8Array,
  otherNonce: Uint8Array,
  binding: string,
): Uint8Array<ArrayBuffer> {
  return concatBytes(
    utf8('chorus link v1\n'),
    versionBytes(),
    fromHex(signer),
    fromHex(other),
    signerNonce,
    otherNonce,
    utf8(binding),
  );
}

function versionBytes(): Uint8Array {
  return Uint8Array.of(PROTOCOL_VERSION, PROTOCOL_VERSION >>> 8);
}

function encodeHello({ publicKey, nonce }: Hello): Uint8Array<ArrayBuffer> {
  return concatBytes(Uint8Array.of(HELLO), versionBytes(), publicKey, nonce);
}

function parseHello(piece: Uint8Array<ArrayBuffer>): Hello {
  if (piece[0] !== HELLO || piece.length < 3) throw new ChorusError('bad-message', 'not a hello');
  const version = (piece[1] as number) | ((piece[2] as number) << 8);
  if (version !== PROTOCOL_VERSION) {
    throw new ChorusError('protocol-version', `the other side speaks version ${version}, this one ${PROTOCOL_VERSION}`);
  }
  if (piece.length !== HELLO_BYTES) throw new ChorusError('bad-message', 'a hello of the wrong size');
  return { publicKey: piece.slice(3, 3 + KEY_BYTES), nonce: piece.slice(3 + KEY_BYTES) };
}

function parseProof(piece: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (piece[0] !== PROOF || piece.length !== PROOF_BYTES) throw new ChorusError('bad-message', 'not a proof');
  return piece.slice(1);
}
