import { z } from 'zod';
import { concatBytes, fromHex, toHex, utf8 } from '../bytes.ts';
import { ChorusError, type ErrorCode } from '../errors.ts';
import { peerIdSchema, sessionIdSchema, type SessionId } from '../ids.ts';
import { CHUNK_POSITIONS, MAX_PEER_MESSAGE_BYTES, MAX_POSITIONS, MAX_STAGES, TOP_K } from '../limits.ts';
import type { Rows } from '../session/compute.ts';
import { envelopeSchema } from '../session/route.ts';
import type { HopTiming, PeerMessage, RowsMessage } from './peer-message.ts';

/*
 * One peer message as bytes. All integers little-endian and unsigned; the first byte is the type.
 *
 *   1 open, 5 close, 6 fault   u8 type, UTF-8 JSON of the other fields
 *   2 ready                    u8 type, session[16]
 *   4 cut                      u8 type, session[16], u32 epoch, u32 position
 *   7 ping, 8 pong             u8 type, u32 nonce
 *   3 rows                     as below
 *
 *   offset  size  rows
 *        0     1  type, 3
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

const TYPE_CODES = { open: 1, ready: 2, rows: 3, cut: 4, close: 5, fault: 6, ping: 7, pong: 8 } as const;
const KINDS = ['tokens', 'hidden', 'logits'] as const;
const SESSION_BYTES = 16;
const ROWS_HEADER_BYTES = 76;
const HOP_BYTES = 20;
const ONWARD = ['webrtc', 'relay'] as const;
const DIGEST_BYTES = 32;
const MAX_U32 = 0xffffffff;
/** Characters of a reason; the encoder cuts longer ones. */
const MAX_TEXT_LENGTH = 500;
/** Hidden size 65,536 in f32, the most a manifest may say. */
const MAX_ROW_BYTES = 4 * 65_536;

const stageSchema = z.int().min(0).max(MAX_STAGES);
const openSchema = z.strictObject({ session: sessionIdSchema, stage: stageSchema, route: envelopeSchema });
const closeSchema = z.strictObject({ session: sessionIdSchema, reason: z.string().max(MAX_TEXT_LENGTH) });
const faultSchema = z.strictObject({
  session: sessionIdSchema,
  stage: stageSchema,
  code: z
    .string()
    .regex(/^[a-z-]{1,40}$/)
    .transform((code) => code as ErrorCode),
  message: z.string().max(MAX_TEXT_LENGTH),
  volunteer: peerIdSchema.nullable(),
});

/** Throws `bad-message` where a field is out of its range and `too-large` above MAX_PEER_MESSAGE_BYTES. */
export function encodePeerMessage(message: PeerMessage): Uint8Array<ArrayBuffer> {
  const bytes = encodeUnchecked(message);
  if (bytes.length > MAX_PEER_MESSAGE_BYTES) throw tooLarge(bytes.length);
  return bytes;
}

function encodeUnchecked(message: PeerMessage): Uint8Array<ArrayBuffer> {
  const code = TYPE_CODES[message.type];
  switch (message.type) {
    case 'open': {
      const { session, stage, route } = message;
      return encodeJson(code, { session, stage, route });
    }
    case 'close': {
      const { session, reason } = message;
      return encodeJson(code, { session, reason: reason.slice(0, MAX_TEXT_LENGTH) });
    }
    case 'fault': {
      const { session, stage, message: text, volunteer } = message;
      return encodeJson(code, {
        session,
        stage,
        code: message.code,
        message: text.slice(0, MAX_TEXT_LENGTH),
        volunteer,
      });
    }
    case 'ready':
      return concatBytes(Uint8Array.of(code), fromHex(message.session));
    case 'cut':
      return concatBytes(Uint8Array.of(code), fromHex(message.session), u32(message.epoch), u32(message.position));
    case 'ping':
    case 'pong':
      return concatBytes(Uint8Array.of(code), u32(message.nonce));
    case 'rows':
      return encodeRows(message);
  }
}

/**
 * The message in these bytes, every field checked for its form; whether the rows are those of their digest is for the
 * engine to find. What is returned owns its memory. Throws `bad-message` or `too-large`, nothing else: the other side
 * controls every byte.
 */
export function decodePeerMessage(bytes: Uint8Array<ArrayBuffer>): PeerMessage {
  if (bytes.length > MAX_PEER_MESSAGE_BYTES) throw tooLarge(bytes.length);
  switch (bytes[0]) {
    case TYPE_CODES.open:
      return { type: 'open', ...parseJson(openSchema, bytes) };
    case TYPE_CODES.close:
      return { type: 'close', ...parseJson(closeSchema, bytes) };
    case TYPE_CODES.fault:
      return { type: 'fault', ...parseJson(faultSchema, bytes) };
    case TYPE_CODES.ready:
      expectLength(bytes, 1 + SESSION_BYTES);
      return { type: 'ready', session: sessionAt(bytes, 1) };
    case TYPE_CODES.cut: {
      expectLength(bytes, 1 + SESSION_BYTES + 8);
      const view = viewOf(bytes);
      const position = view.getUint32(21, true);
      if (position > MAX_POSITIONS) throw bad('cut to a position beyond the longest session');
      return { type: 'cut', session: sessionAt(bytes, 1), epoch: view.getUint32(17, true), position };
    }
    case TYPE_CODES.ping:
      expectLength(bytes, 5);
      return { type: 'ping', nonce: viewOf(bytes).getUint32(1, true) };
    case TYPE_CODES.pong:
      expectLength(bytes, 5);
      return { type: 'pong', nonce: viewOf(bytes).getUint32(1, true) };
    case TYPE_CODES.rows:
      return decodeRows(bytes);
    default:
      throw bad('unknown message type');
  }
}

function encodeRows(message: RowsMessage): Uint8Array<ArrayBuffer> {
  checkRows(message);
  const bytes = new Uint8Array(ROWS_HEADER_BYTES + HOP_BYTES * message.hops.length + message.rows.bytes.length);
  const view = viewOf(bytes);
  bytes.set([TYPE_CODES.rows, KINDS.indexOf(message.rows.kind), message.stage, message.rows.count]);
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

function decodeRows(bytes: Uint8Array<ArrayBuffer>): RowsMessage {
  if (bytes.length < ROWS_HEADER_BYTES) throw bad('rows shorter than their header');
  const view = viewOf(bytes);
  const kind = KINDS[view.getUint8(1)];
  if (!kind) throw bad('unknown kind of rows');
  const hopCount = view.getUint8(72);
  if (hopCount > MAX_STAGES) throw bad('more hops than stages');
  const rowsOffset = ROWS_HEADER_BYTES + HOP_BYTES * hopCount;
  if (bytes.length < rowsOffset) throw bad('rows shorter than their hops');
  expectZero(bytes, 73, 76);
  const hops: HopTiming[] = [];
  for (let offset = ROWS_HEADER_BYTES; offset < rowsOffset; offset += HOP_BYTES) {
    const onward = ONWARD[view.getUint8(offset + 1) - 1];
    if (onward === undefined) throw bad('unknown kind of link');
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
  if (!isWithin(message.stage, MAX_STAGES)) throw bad('stage out of range');
  if (!isWithin(message.epoch, MAX_U32) || !isWithin(message.sequence, MAX_U32)) throw bad('number out of range');
  if (!isWithin(message.logitsFrom, MAX_POSITIONS)) throw bad('logitsFrom beyond the longest session');
  if (!isWithin(rows.start, MAX_POSITIONS) || rows.start + rows.count > MAX_POSITIONS) {
    throw bad('rows beyond the longest session');
  }
  if (!isWithin(rows.count, CHUNK_POSITIONS)) throw bad('more rows than a chunk');
  // Without rows (a prompt chunk whose logits nobody asked for) `start` may be the chunk's end.
  const chunkStart = chunk * CHUNK_POSITIONS;
  const isInChunk = rows.start >= chunkStart && rows.start + rows.count <= chunkStart + CHUNK_POSITIONS;
  if (!isWithin(chunk, MAX_POSITIONS / CHUNK_POSITIONS) || !isInChunk) throw bad('rows outside their chunk');
  if (!hasRightSize(rows)) throw bad(`${rows.bytes.length} bytes do not hold ${rows.count} rows of ${rows.kind}`);
  if (message.digest.length !== DIGEST_BYTES) throw bad('a digest has 32 bytes');
  if (hops.length > MAX_STAGES || hops.some((hop) => !isWithin(hop.stage, MAX_STAGES - 1)))
    throw bad('hops out of range');
}

function hasRightSize({ kind, count, bytes }: Rows): boolean {
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

function encodeJson(code: number, fields: object): Uint8Array<ArrayBuffer> {
  return concatBytes(Uint8Array.of(code), utf8(JSON.stringify(fields)));
}

function parseJson<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array<ArrayBuffer>): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(1)));
  } catch {
    throw bad('not JSON in UTF-8');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw bad(parsed.error.issues.map((issue) => issue.path.join('.')).join(', '));
  return parsed.data;
}

function u32(value: number): Uint8Array {
  if (!isWithin(value, MAX_U32)) throw bad('number out of range');
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function sessionAt(bytes: Uint8Array, offset: number): SessionId {
  return toHex(bytes.subarray(offset, offset + SESSION_BYTES)) as SessionId;
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function expectLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw bad(`${bytes.length} bytes where ${length} belong`);
}

function expectZero(bytes: Uint8Array, start: number, end: number): void {
  if (bytes.subarray(start, end).some((byte) => byte !== 0)) throw bad('reserved bytes in use');
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad peer message: ${reason}`);
}

function tooLarge(length: number): ChorusError {
  return new ChorusError('too-large', `a peer message of ${length} bytes is above ${MAX_PEER_MESSAGE_BYTES}`);
}
