import { concatBytes, fromHex } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';
import {
  COMMIT_BYTES,
  commitBytes,
  parseCommit,
  parseReveal,
  REVEAL_BYTES,
  revealBytes,
} from '../../judge/statement-codec.ts';
import type { Commit, Reveal, Signed } from '../../judge/statement.ts';
import { MAX_CHECKS, MAX_POSITIONS } from '../../limits.ts';
import { chunkEnd } from '../../rows/chunk.ts';
import type { PeerMessage } from '../peer-message.ts';
import { badMessage, expectLength, expectZero, SESSION_BYTES, sessionAt, u32, viewOf } from './codec-bytes.ts';
import { hasRightSize, ROW_KINDS } from './peer-codec-rows.ts';

/*
 * The messages of a check as bytes, little-endian. `statement` are the bytes that are signed (statement-codec.ts),
 * `seal` is the public key[32] and the Ed25519 signature[64].
 *
 *    9 audit      u8 type, session[16], anchor[32]
 *   10 check      u8 type, session[16], u32 epoch, u32 index, u32 start, u32 end
 *   11 commit     u8 type, seal[96], statement[228]
 *   12 challenge  u8 type, session[16], u32 index, seed[32], seal[96], statement[228]: the requester's commit
 *   13 reveal     u8 type, seal[96], statement[164], u32 bytes of input, input, output to the end
 *   14 recall     u8 type, session[16], u32 start, u32 end
 *   15 recalled   u8 type, u8 kind as in rows, u8 count, u8 zero, session[16], u32 start, row bytes to the end
 */

const HASH_BYTES = 32;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const SEAL_BYTES = KEY_BYTES + SIGNATURE_BYTES;
const HEADER_BYTES = 1 + SESSION_BYTES;
const RECALLED_HEADER_BYTES = 24;

export type CheckMessage = Extract<
  PeerMessage,
  { type: 'audit' | 'check' | 'commit' | 'challenge' | 'reveal' | 'recall' | 'recalled' }
>;

/** `code` is the type byte. Throws `bad-message` where a field is out of its range. */
export function encodeCheckMessage(code: number, message: CheckMessage): Uint8Array<ArrayBuffer> {
  const bytes = concatBytes(Uint8Array.of(code), ...fieldsOf(message));
  // The other side would refuse whatever this refuses.
  decodeCheckMessage(message.type, bytes);
  return bytes;
}

function fieldsOf(message: CheckMessage): Uint8Array[] {
  switch (message.type) {
    case 'audit':
      return [fromHex(message.session), message.anchor];
    case 'check': {
      const { session, epoch, index, start, end } = message;
      return [fromHex(session), u32(epoch), u32(index), u32(start), u32(end)];
    }
    case 'commit':
      return sealed(message.commit, commitBytes(message.commit.statement));
    case 'challenge': {
      const { session, index, seed, commit } = message;
      if (seed.length !== HASH_BYTES) throw badMessage(`a seed of ${seed.length} bytes; it must have ${HASH_BYTES}`);
      return [fromHex(session), u32(index), seed, ...sealed(commit, commitBytes(commit.statement))];
    }
    case 'reveal': {
      const { input, output } = message.reveal.statement;
      return [...sealed(message.reveal, revealBytes(message.reveal.statement)), u32(input.length), input, output];
    }
    case 'recall':
      return [fromHex(message.session), u32(message.start), u32(message.end)];
    case 'recalled': {
      const { kind, count, start, bytes } = message.rows;
      return [Uint8Array.of(ROW_KINDS.indexOf(kind), count, 0), fromHex(message.session), u32(start), bytes];
    }
  }
}

/** The message in these bytes, which owns its memory. Throws `bad-message`, nothing else. */
export function decodeCheckMessage(type: CheckMessage['type'], bytes: Uint8Array<ArrayBuffer>): CheckMessage {
  switch (type) {
    case 'audit':
      expectLength(bytes, HEADER_BYTES + HASH_BYTES);
      return { type, session: sessionAt(bytes, 1), anchor: bytes.slice(HEADER_BYTES) };
    case 'check': {
      expectLength(bytes, HEADER_BYTES + 16);
      const epoch = viewOf(bytes).getUint32(HEADER_BYTES, true);
      const index = indexAt(bytes, HEADER_BYTES + 4);
      return { type, session: sessionAt(bytes, 1), epoch, index, ...spanAt(bytes, HEADER_BYTES + 8) };
    }
    case 'commit':
      expectLength(bytes, 1 + SEAL_BYTES + COMMIT_BYTES);
      return { type, commit: sealedCommitAt(bytes, 1) };
    case 'challenge': {
      const seedOffset = HEADER_BYTES + 4;
      const sealOffset = seedOffset + HASH_BYTES;
      expectLength(bytes, sealOffset + SEAL_BYTES + COMMIT_BYTES);
      const index = indexAt(bytes, HEADER_BYTES);
      const seed = bytes.slice(seedOffset, sealOffset);
      return { type, session: sessionAt(bytes, 1), index, seed, commit: sealedCommitAt(bytes, sealOffset) };
    }
    case 'reveal':
      return { type, reveal: decodeReveal(bytes) };
    case 'recall':
      expectLength(bytes, HEADER_BYTES + 8);
      return { type, session: sessionAt(bytes, 1), ...spanAt(bytes, HEADER_BYTES) };
    case 'recalled':
      return decodeRecalled(bytes);
  }
}

function decodeReveal(bytes: Uint8Array<ArrayBuffer>): Signed<Reveal> {
  const sizeOffset = 1 + SEAL_BYTES + REVEAL_BYTES;
  const inputOffset = sizeOffset + 4;
  if (bytes.length < inputOffset) throw badMessage('a reveal shorter than its header');
  const outputOffset = inputOffset + viewOf(bytes).getUint32(sizeOffset, true);
  if (outputOffset > bytes.length) throw badMessage('a reveal shorter than its input');
  const input = bytes.slice(inputOffset, outputOffset);
  try {
    const statement = parseReveal(bytes.slice(1 + SEAL_BYTES, sizeOffset), input, bytes.slice(outputOffset));
    return { statement, ...sealAt(bytes, 1) };
  } catch (error) {
    // Values that were not signed make this a damaged message, and nobody a liar.
    if (error instanceof ChorusError && error.code === 'digest-mismatch') throw badMessage(error.message);
    throw error;
  }
}

function decodeRecalled(bytes: Uint8Array<ArrayBuffer>): CheckMessage {
  if (bytes.length < RECALLED_HEADER_BYTES) throw badMessage('recalled rows shorter than their header');
  expectZero(bytes, 3, 4);
  const view = viewOf(bytes);
  const kind = ROW_KINDS[view.getUint8(1)];
  if (kind !== 'tokens' && kind !== 'hidden') throw badMessage('recalled rows that no stage takes in');
  const start = view.getUint32(20, true);
  const count = view.getUint8(2);
  checkSpan(start, start + count);
  const rows = { kind, start, count, bytes: bytes.slice(RECALLED_HEADER_BYTES) };
  if (!hasRightSize(rows)) throw badMessage(`${rows.bytes.length} bytes do not hold ${count} rows of ${kind}`);
  return { type: 'recalled', session: sessionAt(bytes, 4), rows };
}

function sealed({ publicKey, signature }: Signed<unknown>, statement: Uint8Array): Uint8Array[] {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) throw badMessage('a seal of wrong size');
  return [publicKey, signature, statement];
}

function sealAt(bytes: Uint8Array<ArrayBuffer>, offset: number): Omit<Signed<unknown>, 'statement'> {
  const signatureOffset = offset + KEY_BYTES;
  return {
    publicKey: bytes.slice(offset, signatureOffset),
    signature: bytes.slice(signatureOffset, signatureOffset + SIGNATURE_BYTES),
  };
}

function sealedCommitAt(bytes: Uint8Array<ArrayBuffer>, offset: number): Signed<Commit> {
  const statementOffset = offset + SEAL_BYTES;
  const statement = parseCommit(bytes.slice(statementOffset, statementOffset + COMMIT_BYTES));
  return { statement, ...sealAt(bytes, offset) };
}

function indexAt(bytes: Uint8Array<ArrayBuffer>, offset: number): number {
  const index = viewOf(bytes).getUint32(offset, true);
  if (index < 1 || index > MAX_CHECKS) throw badMessage('no span has this number');
  return index;
}

function spanAt(bytes: Uint8Array<ArrayBuffer>, offset: number): { readonly start: number; readonly end: number } {
  const view = viewOf(bytes);
  const [start, end] = [view.getUint32(offset, true), view.getUint32(offset + 4, true)];
  checkSpan(start, end);
  return { start, end };
}

function checkSpan(start: number, end: number): void {
  if (end > MAX_POSITIONS || start >= end || end > chunkEnd(start)) throw badMessage('no span within one chunk');
}
