import { z } from 'zod';
import { concatBytes, fromHex, utf8 } from '../../bytes.ts';
import { parseErrorCode } from '../../errors.ts';
import { peerIdSchema, sessionIdSchema } from '../../ids.ts';
import { MAX_PEER_MESSAGE_BYTES, MAX_POSITIONS, MAX_REASON_CHARACTERS, MAX_STAGES } from '../../limits.ts';
import type { PeerMessage } from '../peer-message.ts';
import { badMessage, expectLength, jsonOf, SESSION_BYTES, sessionAt, tooLarge, u32, viewOf } from './codec-bytes.ts';
import { decodeCheckMessage, encodeCheckMessage, type CheckMessage } from './peer-codec-check.ts';
import { decodeProgressMessage, encodeProgressMessage } from './peer-codec-progress.ts';
import { decodeRecordMessage, encodeRecordMessage } from './peer-codec-record.ts';
import { decodeRows, encodeRows } from './peer-codec-rows.ts';

/*
 * One peer message as bytes. All integers little-endian and unsigned; the first byte is the type.
 *
 *   1 open, 5 close, 6 fault   u8 type, UTF-8 JSON of the other fields
 *   2 ready                    u8 type, session[16]
 *   4 cut                      u8 type, session[16], u32 epoch, u32 position
 *   7 ping, 8 pong             u8 type, u32 nonce
 *   3 rows                     peer-codec-rows.ts
 *   9 … 15                     peer-codec-check.ts
 *   16 record, 17 recorded     peer-codec-record.ts
 *   18 progress, 19 progressed peer-codec-progress.ts
 */

const TYPE_CODES = {
  open: 1,
  ready: 2,
  rows: 3,
  cut: 4,
  close: 5,
  fault: 6,
  ping: 7,
  pong: 8,
  audit: 9,
  check: 10,
  commit: 11,
  challenge: 12,
  reveal: 13,
  recall: 14,
  recalled: 15,
  record: 16,
  recorded: 17,
  progress: 18,
  progressed: 19,
} as const;
const CHECK_TYPES = new Map<number | undefined, CheckMessage['type']>(
  (['audit', 'check', 'commit', 'challenge', 'reveal', 'recall', 'recalled'] as const).map((type) => [
    TYPE_CODES[type],
    type,
  ]),
);

const stageSchema = z.int().min(0).max(MAX_STAGES);
const openSchema = z.strictObject({ session: sessionIdSchema, stage: stageSchema });
const closeSchema = z.strictObject({ session: sessionIdSchema, reason: z.string().max(MAX_REASON_CHARACTERS) });
const faultSchema = z.strictObject({
  session: sessionIdSchema,
  stage: stageSchema,
  code: z
    .string()
    .regex(/^[a-z-]{1,40}$/)
    .transform(parseErrorCode),
  message: z.string().max(MAX_REASON_CHARACTERS),
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
      const { session, stage } = message;
      return encodeJson(code, { session, stage });
    }
    case 'close': {
      const { session, reason } = message;
      return encodeJson(code, { session, reason: reason.slice(0, MAX_REASON_CHARACTERS) });
    }
    case 'fault': {
      const { session, stage, message: text, volunteer } = message;
      return encodeJson(code, {
        session,
        stage,
        code: message.code,
        message: text.slice(0, MAX_REASON_CHARACTERS),
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
      return encodeRows(code, message);
    case 'record':
    case 'recorded':
      return encodeRecordMessage(code, message);
    case 'progress':
    case 'progressed':
      return encodeProgressMessage(code, message);
    default:
      return encodeCheckMessage(code, message);
  }
}

/**
 * The message in these bytes, every field checked for its form; whether the rows are those of their digest is for the
 * engine to find. The result owns its memory. Throws `bad-message` or `too-large`, nothing else: the other side
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
      if (position > MAX_POSITIONS) throw badMessage('cut to a position beyond the longest session');
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
    case TYPE_CODES.record:
      return decodeRecordMessage('record', bytes);
    case TYPE_CODES.recorded:
      return decodeRecordMessage('recorded', bytes);
    case TYPE_CODES.progress:
      return decodeProgressMessage('progress', bytes);
    case TYPE_CODES.progressed:
      return decodeProgressMessage('progressed', bytes);
    default: {
      const type = CHECK_TYPES.get(bytes[0]);
      if (type === undefined) throw badMessage('unknown message type');
      return decodeCheckMessage(type, bytes);
    }
  }
}

function encodeJson(code: number, fields: object): Uint8Array<ArrayBuffer> {
  return concatBytes(Uint8Array.of(code), utf8(JSON.stringify(fields)));
}

function parseJson<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array<ArrayBuffer>): z.output<Schema> {
  const parsed = schema.safeParse(jsonOf(bytes.subarray(1)));
  if (!parsed.success) throw badMessage(parsed.error.issues.map((issue) => issue.path.join('.')).join(', '));
  return parsed.data;
}
