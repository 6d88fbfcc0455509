import { ChorusError } from '../../errors.ts';
import { MAX_OPEN_MESSAGES, MAX_PEER_MESSAGE_BYTES, MAX_PIECE_BYTES } from '../../limits.ts';

/*
 * A message travels in pieces, each with this header, integers little-endian and unsigned:
 *
 *   offset  size
 *        0     1  frame version, 1
 *        1     1  flags, zero: none are defined
 *        2     2  zero
 *        4     4  message number, the sender's own count
 *        8     4  bytes of the whole message
 *       12     4  offset of this piece in the message
 *       16     …  the piece
 *
 * Pieces of one message come in order and without gaps; pieces of other messages may lie between them.
 */

export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 16;
const MAX_PAYLOAD_BYTES = MAX_PIECE_BYTES - FRAME_HEADER_BYTES;

/** The pieces of one message, made one by one as they are taken. Throws `too-large`, or `bad-message` if empty. */
export function* splitMessage(messageNumber: number, message: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  if (message.length > MAX_PEER_MESSAGE_BYTES) throw new ChorusError('too-large', 'message above the size limit');
  if (message.length === 0) throw new ChorusError('bad-message', 'an empty message');
  for (let offset = 0; offset < message.length; offset += MAX_PAYLOAD_BYTES) {
    const payload = message.subarray(offset, offset + MAX_PAYLOAD_BYTES);
    const piece = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
    const view = new DataView(piece.buffer);
    view.setUint8(0, FRAME_VERSION);
    view.setUint32(4, messageNumber, true);
    view.setUint32(8, message.length, true);
    view.setUint32(12, offset, true);
    piece.set(payload, FRAME_HEADER_BYTES);
    yield piece;
  }
}

interface OpenMessage {
  readonly totalBytes: number;
  /** Grows as pieces come: what a message is said to be takes no memory. */
  bytes: Uint8Array<ArrayBuffer>;
  receivedBytes: number;
}

/** Puts the pieces of one link together again, with at most twice MAX_PEER_MESSAGE_BYTES unfinished. */
export class Reassembler {
  readonly #open = new Map<number, OpenMessage>();
  #openBytes = 0;

  /** Memory that unfinished messages take. */
  get heldBytes(): number {
    return [...this.#open.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /**
   * The whole message if this piece was its last, else null. Throws `protocol-version`, `bad-message` or
   * `too-large`; the link is of no use after that.
   */
  add(piece: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
    if (piece.length > MAX_PIECE_BYTES) throw new ChorusError('too-large', 'piece above the size limit');
    if (piece.length <= FRAME_HEADER_BYTES) throw new ChorusError('bad-message', 'piece without content');
    const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
    if (view.getUint8(0) !== FRAME_VERSION) throw new ChorusError('protocol-version', 'unknown frame version');
    if (view.getUint8(1) !== 0 || view.getUint16(2) !== 0) throw new ChorusError('bad-message', 'unknown frame flags');
    const messageNumber = view.getUint32(4, true);
    const totalBytes = view.getUint32(8, true);
    const offset = view.getUint32(12, true);
    const payload = piece.subarray(FRAME_HEADER_BYTES);
    if (totalBytes > MAX_PEER_MESSAGE_BYTES) throw new ChorusError('too-large', 'message above the size limit');
    if (offset + payload.length > totalBytes) throw new ChorusError('bad-message', 'piece beyond its message');

    let message = this.#open.get(messageNumber);
    if (offset !== (message?.receivedBytes ?? 0)) throw new ChorusError('bad-message', 'piece out of order');
    if (payload.length === totalBytes) return payload.slice();
    message ??= this.#begin(messageNumber, totalBytes);
    if (message.totalBytes !== totalBytes) throw new ChorusError('bad-message', 'message changed its size');
    if (message.bytes.length < offset + payload.length) {
      const grown = new Uint8Array(Math.min(totalBytes, 2 * (offset + payload.length)));
      grown.set(message.bytes);
      message.bytes = grown;
    }
    message.bytes.set(payload, offset);
    message.receivedBytes += payload.length;
    if (message.receivedBytes < totalBytes) return null;
    this.#open.delete(messageNumber);
    this.#openBytes -= totalBytes;
    return message.bytes;
  }

  #begin(messageNumber: number, totalBytes: number): OpenMessage {
    if (this.#open.size >= MAX_OPEN_MESSAGES) throw new ChorusError('too-large', 'too many unfinished messages');
    if (this.#openBytes + totalBytes > 2 * MAX_PEER_MESSAGE_BYTES) {
      throw new ChorusError('too-large', 'unfinished messages above the size limit');
    }
    const message = { totalBytes, bytes: new Uint8Array(0), receivedBytes: 0 };
    this.#open.set(messageNumber, message);
    this.#openBytes += totalBytes;
    return message;
  }
}
