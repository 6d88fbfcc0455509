import { toHex } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import type { SessionId } from '../../ids.ts';
import { MAX_PEER_MESSAGE_BYTES } from '../../limits.ts';

export const SESSION_BYTES = 16;
export const MAX_U32 = 0xffffffff;

export function badMessage(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad peer message: ${reason}`);
}

export function tooLarge(length: number): ChorusError {
  return new ChorusError('too-large', `a peer message of ${length} bytes is above ${MAX_PEER_MESSAGE_BYTES}`);
}

/** `value` little-endian. Throws `bad-message` if it is no u32. */
export function u32(value: number): Uint8Array<ArrayBuffer> {
  if (!isWithin(value, MAX_U32)) throw badMessage('number out of range');
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

export function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function sessionAt(bytes: Uint8Array, offset: number): SessionId {
  return toHex(bytes.subarray(offset, offset + SESSION_BYTES)) as SessionId;
}

export function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

/** Throws `bad-message` unless there are exactly `length` bytes. */
export function expectLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw badMessage(`${bytes.length} bytes where ${length} belong`);
}

/** Throws `bad-message` unless bytes [start, end) are zero. */
export function expectZero(bytes: Uint8Array, start: number, end: number): void {
  if (bytes.subarray(start, end).some((byte) => byte !== 0)) throw badMessage('reserved bytes in use');
}

/** The value whose JSON these bytes are, in UTF-8. Throws `bad-message`. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw badMessage('not JSON in UTF-8');
  }
}
