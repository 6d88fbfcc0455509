import { concatBytes, fromHex } from '../../bytes.ts';
import type { PeerMessage, ProgressedMessage } from '../peer-message.ts';
import { badMessage, expectLength, SESSION_BYTES, sessionAt, u32, viewOf } from './codec-bytes.ts';

/*
 * Progress of a session as bytes, little-endian.
 *
 *   18 progress     u8 type, session[16], u32 nonce
 *   19 progressed   u8 type, session[16], u32 nonce, u8 step (0 unknown, 1 opening, 2 open), u32 received, u32 sent
 */

const STEPS: readonly ProgressedMessage['step'][] = ['unknown', 'opening', 'open'];
const PROGRESS_BYTES = 1 + SESSION_BYTES + 4;
const PROGRESSED_BYTES = PROGRESS_BYTES + 9;

export type ProgressMessage = Extract<PeerMessage, { type: 'progress' | 'progressed' }>;

/** `code` is the type byte. Throws `bad-message` where a field is out of its range. */
export function encodeProgressMessage(code: number, message: ProgressMessage): Uint8Array<ArrayBuffer> {
  const head = [Uint8Array.of(code), fromHex(message.session), u32(message.nonce)];
  if (message.type === 'progress') return concatBytes(...head);
  const { step, received, sent } = message;
  const bytes = concatBytes(...head, Uint8Array.of(STEPS.indexOf(step)), u32(received), u32(sent));
  // The other side would refuse whatever this refuses.
  decodeProgressMessage('progressed', bytes);
  return bytes;
}

/** Throws `bad-message`. */
export function decodeProgressMessage(type: ProgressMessage['type'], bytes: Uint8Array<ArrayBuffer>): ProgressMessage {
  expectLength(bytes, type === 'progress' ? PROGRESS_BYTES : PROGRESSED_BYTES);
  const view = viewOf(bytes);
  const place = { session: sessionAt(bytes, 1), nonce: view.getUint32(1 + SESSION_BYTES, true) };
  if (type === 'progress') return { type, ...place };
  const step = STEPS[view.getUint8(PROGRESS_BYTES)];
  if (step === undefined) throw badMessage('unknown step of a session');
  const received = view.getUint32(PROGRESS_BYTES + 1, true);
  const sent = view.getUint32(PROGRESS_BYTES + 5, true);
  if (sent > received) throw badMessage('more rows were passed on than came in');
  return { type, ...place, step, received, sent };
}
