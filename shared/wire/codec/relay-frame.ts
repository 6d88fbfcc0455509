import { concatBytes, fromHex, toHex, utf8 } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { LINK_WINDOW_BYTES, MAX_PIECE_BYTES, MAX_RELAY_REASON_BYTES } from '../../limits.ts';

/*
 * A binary message on the control socket: one frame of the relay. Integers little-endian and unsigned.
 *
 *   offset  size
 *        0    32  the other peer: destination on the way to the server, source on the way from it
 *       32     4  channel number; even if the peer with the smaller id opened the channel, odd otherwise
 *       36     1  op: 0 open, 1 data, 2 close, 3 credit
 *       37     …  data: one piece; close: reason in UTF-8; credit: u32 bytes the receiver has taken; open: nothing
 */

export const RELAY_HEADER_BYTES = 37;
export const MAX_RELAY_FRAME_BYTES = RELAY_HEADER_BYTES + MAX_PIECE_BYTES;
const OPS = ['open', 'data', 'close', 'credit'] as const;

export type RelayFrame = { readonly peer: PeerId; readonly channel: number } & (
  | { readonly op: 'open' }
  | { readonly op: 'data'; readonly piece: Uint8Array<ArrayBuffer> }
  | { readonly op: 'close'; readonly reason: string }
  | { readonly op: 'credit'; readonly bytes: number }
);

export function encodeRelayFrame(frame: RelayFrame): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(RELAY_HEADER_BYTES);
  header.set(fromHex(frame.peer));
  new DataView(header.buffer).setUint32(32, frame.channel, true);
  header[36] = OPS.indexOf(frame.op);
  return concatBytes(header, payloadOf(frame));
}

function payloadOf(frame: RelayFrame): Uint8Array {
  switch (frame.op) {
    case 'open':
      return new Uint8Array(0);
    case 'data':
      return frame.piece;
    case 'close':
      return utf8(frame.reason).subarray(0, MAX_RELAY_REASON_BYTES);
    case 'credit': {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, frame.bytes, true);
      return bytes;
    }
  }
}

/** Throws `bad-message` or `too-large`. A data frame's piece is a view of `bytes`. */
export function decodeRelayFrame(bytes: Uint8Array<ArrayBuffer>): RelayFrame {
  const { peer, channel, op } = readHeader(bytes);
  const payload = bytes.subarray(RELAY_HEADER_BYTES);
  switch (op) {
    case 'open':
      if (payload.length > 0) throw bad('an open frame with a payload; it must be empty');
      return { peer, channel, op };
    case 'data':
      if (payload.length === 0) throw bad('a data frame without data');
      return { peer, channel, op, piece: payload };
    case 'close':
      if (payload.length > MAX_RELAY_REASON_BYTES) throw bad('a reason that is too long');
      return { peer, channel, op, reason: new TextDecoder('utf-8').decode(payload) };
    case 'credit': {
      if (payload.length !== 4) throw bad(`a credit frame with ${payload.length} bytes; it must have 4`);
      const credit = new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0, true);
      if (credit === 0 || credit > LINK_WINDOW_BYTES + MAX_PIECE_BYTES) throw bad('credit out of range');
      return { peer, channel, op, bytes: credit };
    }
  }
}

/** The same frame as its receiver must see it: `source` in place of the destination, in a copy. */
export function withRelaySource(frame: Uint8Array<ArrayBuffer>, source: PeerId): Uint8Array<ArrayBuffer> {
  const copy = frame.slice();
  copy.set(fromHex(source));
  return copy;
}

function readHeader(bytes: Uint8Array<ArrayBuffer>): {
  peer: PeerId;
  channel: number;
  op: RelayFrame['op'];
} {
  if (bytes.length > MAX_RELAY_FRAME_BYTES) throw new ChorusError('too-large', 'relay frame above the size limit');
  if (bytes.length < RELAY_HEADER_BYTES) throw bad('shorter than its header');
  const op = OPS[bytes[36] as number];
  if (!op) throw bad('unknown op');
  const channel = new DataView(bytes.buffer, bytes.byteOffset, RELAY_HEADER_BYTES).getUint32(32, true);
  return { peer: toHex(bytes.subarray(0, 32)) as PeerId, channel, op };
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad relay frame: ${reason}`);
}
