import { fromHex } from '../../bytes.ts';
import { CHUNK_POSITIONS, MAX_POSITIONS, MAX_ROW_BYTES, MAX_STAGES, TOP_K } from '../../limits.ts';
import type { Rows } from '../../rows/rows.ts';
import type { HopTiming, RowsMessage } from '../peer-message.ts';
import { badMessage, expectZero, isWithin, MAX_U32, sessionAt, viewOf } from './codec-bytes.ts';

/*
 * A rows message as bytes, little-endian:
 *
 *   offset  size
 *        0     1  type
 *        1     1  kind: 0 tokens, 1 hidden, 2 logits
 *        2     1  stage
 *        3     1  count of rows
 *        4    16  session
 *       20     4  epoch
 *       24     4  sequence
 *       28     4  chunk
 *       32     4  start
 *       36     4  logitsFrom
 *       40    32  SHA-256 of the row bytes
 *       72     1  count of hops
 *       73     3  zero
 *       76   20h  hops: u8 stage, u8 onward (1 webrtc, 2 relay), 2 zero bytes, u32 queueUs, decodeUs, runUs, encodeUs
 *        …     …  row bytes, to the end
 */

export const ROW_KINDS = ['tokens', 'hidden', 'logits'] as const;
const ROWS_HEADER_BYTES = 76;
const HOP_BYTES = 20;
const ONWARD = ['webrtc', 'relay'] as const;
const DIGEST_BYTES = 32;

/** `code` is the type byte. Throws `bad-message` where a field is out of its range. */
export function encodeRows(code: number, message: RowsMessage): Uint8Array<ArrayBuffer> {
  checkRows(message);
  const bytes = new Uint8Array(ROWS_HEADER_BYTES + HOP_BYTES * message.hops.length + message.rows.bytes.length);
  const view = viewOf(bytes);
  bytes.set([code, ROW_KINDS.indexOf(message.rows.kind), message.stage, message.rows.count]);
  bytes.set(fromHex(message.session), 4);
  view.setUint32(20, message.epoch, true);
  view.setUint32(24, message.sequence, true);
  view.setUint32(28, message.chunk, true);
  view.setUint32(32, message.rows.start, true);
  view.setUint32(36, message.logitsFrom, true);
  bytes.set(message.digest, 40);
  bytes[72] = message.hops.length;
  let offset = ROWS_HEADER_BYTES;
  for (const hop of message.hops) {
    bytes[offset] = hop.stage;
    bytes[offset + 1] = ONWARD.indexOf(hop.onward) + 1;
    [hop.queueUs, hop.decodeUs, hop.runUs, hop.encodeUs].forEach((us, i) => {
      view.setUint32(offset + 4 + 4 * i, Math.min(MAX_U32, Math.max(0, Math.round(us))), true);
    });
    offset += HOP_BYTES;
  }
  bytes.set(message.rows.bytes, offset);
  return bytes;
}

/** The rows message in these bytes, which owns its memory. Throws `bad-message`. */
export function decodeRows(bytes: Uint8Array<ArrayBuffer>): RowsMessage {
  if (bytes.length < ROWS_HEADER_BYTES) throw badMessage('rows shorter than their header');
  const view = viewOf(bytes);
  const kind = ROW_KINDS[view.getUint8(1)];
  if (!kind) throw badMessage('unknown kind of rows');
  const hopCount = view.getUint8(72);
  if (hopCount > MAX_STAGES) throw badMessage('more hops than stages');
  const rowsOffset = ROWS_HEADER_BYTES + HOP_BYTES * hopCount;
  if (bytes.length < rowsOffset) throw badMessage('rows shorter than their hops');
  expectZero(bytes, 73, 76);
  const hops: HopTiming[] = [];
  for (let offset = ROWS_HEADER_BYTES; offset < rowsOffset; offset += HOP_BYTES) {
    const onward = ONWARD[view.getUint8(offset + 1) - 1];
    if (onward === undefined) throw badMessage('unknown kind of link');
    expectZero(bytes, offset + 2, offset + 4);
    hops.push({
      stage: view.getUint8(offset),
      onward,
      queueUs: view.getUint32(offset + 4, true),
      decodeUs: view.getUint32(offset + 8, true),
      runUs: view.getUint32(offset + 12, true),
      encodeUs: view.getUint32(offset + 16, true),
    });
  }
  const message: RowsMessage = {
    type: 'rows',
    session: sessionAt(bytes, 4),
    stage: view.getUint8(2),
    epoch: view.getUint32(20, true),
    sequence: view.getUint32(24, true),
    chunk: view.getUint32(28, true),
    logitsFrom: view.getUint32(36, true),
    rows: { kind, start: view.getUint32(32, true), count: view.getUint8(3), bytes: bytes.slice(rowsOffset) },
    digest: bytes.slice(40, 40 + DIGEST_BYTES),
    hops,
  };
  checkRows(message);
  return message;
}

function checkRows(message: RowsMessage): void {
  const { rows, chunk, hops } = message;
  if (!isWithin(message.stage, MAX_STAGES)) throw badMessage('stage out of range');
  if (!isWithin(message.epoch, MAX_U32) || !isWithin(message.sequence, MAX_U32))
    throw badMessage('number out of range');
  if (!isWithin(message.logitsFrom, MAX_POSITIONS)) throw badMessage('logitsFrom beyond the longest session');
  if (!isWithin(rows.start, MAX_POSITIONS) || rows.start + rows.count > MAX_POSITIONS) {
    throw badMessage('rows beyond the longest session');
  }
  if (!isWithin(rows.count, CHUNK_POSITIONS)) throw badMessage('more rows than a chunk');
  // Without rows (a prompt chunk whose logits nobody asked for) `start` may be the chunk's end.
  const chunkStart = chunk * CHUNK_POSITIONS;
  const isInChunk = rows.start >= chunkStart && rows.start + rows.count <= chunkStart + CHUNK_POSITIONS;
  if (!isWithin(chunk, MAX_POSITIONS / CHUNK_POSITIONS) || !isInChunk) throw badMessage('rows outside their chunk');
  if (!hasRightSize(rows))
    throw badMessage(`${rows.bytes.length} bytes do not hold ${rows.count} rows of ${rows.kind}`);
  if (message.digest.length !== DIGEST_BYTES)
    throw badMessage(`a digest of ${message.digest.length} bytes; it must have ${DIGEST_BYTES}`);
  if (hops.length > MAX_STAGES || hops.some((hop) => !isWithin(hop.stage, MAX_STAGES - 1)))
    throw badMessage('hops out of range');
}

/** True if the bytes are `count` rows of a size that the kind may have. */
export function hasRightSize({ kind, count, bytes }: Rows): boolean {
  if (count === 0) return kind === 'logits' && bytes.length === 0;
  const rowBytes = bytes.length / count;
  if (!Number.isInteger(rowBytes)) return false;
  switch (kind) {
    case 'tokens':
      return rowBytes === 4;
    case 'hidden':
      return rowBytes > 0 && rowBytes % 2 === 0 && rowBytes <= MAX_ROW_BYTES;
    case 'logits':
      return rowBytes >= 12 && rowBytes <= 4 + 8 * TOP_K && (rowBytes - 4) % 8 === 0;
  }
}
