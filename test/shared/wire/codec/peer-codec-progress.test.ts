import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import { decodePeerMessage, encodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import type { PeerMessage, ProgressedMessage } from '#shared/wire/peer-message.ts';
import { codeOf } from '../../../support/code-of.ts';

const session = '00112233445566778899aabbccddeeff' as SessionId;
const progress: PeerMessage = { type: 'progress', session, nonce: 0xfffffffe };
const progressed: ProgressedMessage = { type: 'progressed', session, nonce: 7, step: 'open', received: 5, sent: 4 };

describe('a question for progress, and its answer', () => {
  it.each([
    ['a question', progress],
    ['an answer', progressed],
    ['that of a session that is opening', { ...progressed, step: 'opening', received: 0, sent: 0 }],
    ['that of no session', { ...progressed, step: 'unknown', received: 0, sent: 0 }],
  ] as const)('come back as they were: %s', (_, message) => {
    expect(decodePeerMessage(encodePeerMessage(message))).toEqual(message);
  });

  it('are laid out as docs/protocol.md says', () => {
    expect([...encodePeerMessage(progress).subarray(17)]).toEqual([0xfe, 0xff, 0xff, 0xff]);
    const bytes = encodePeerMessage(progressed);
    expect(bytes[0]).toBe(19);
    expect([...bytes.subarray(17)]).toEqual([7, 0, 0, 0, 2, 5, 0, 0, 0, 4, 0, 0, 0]);
  });

  it.each([
    ['a question that is too long', progress, (bytes: Uint8Array) => new Uint8Array([...bytes, 0])],
    ['an answer that is too short', progressed, (bytes: Uint8Array) => bytes.slice(0, -1)],
    ['a step that there is not', progressed, (bytes: Uint8Array) => bytes.map((byte, i) => (i === 21 ? 3 : byte))],
    ['more sent than came', progressed, (bytes: Uint8Array) => bytes.map((byte, i) => (i === 26 ? 6 : byte))],
  ])('are refused with %s', (_, message, change) => {
    const bytes = change(encodePeerMessage(message));
    expect(codeOf(() => decodePeerMessage(bytes))).toBe('bad-message');
  });
});
