import { describe, expect, it } from 'vitest';
import { utf8, concatBytes } from '#shared/bytes.ts';
import { ChorusError, ERROR_CODES, parseErrorCode, toChorusError } from '#shared/errors.ts';
import { decodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import { serverMessageSchema } from '#shared/wire/control-message.ts';

describe('an error code from outside', () => {
  it.each(ERROR_CODES)('%s is known', (code) => {
    expect(parseErrorCode(code)).toBe(code);
  });

  it.each(['', 'busy', 'bad_message', 'Timeout', 'constructor', '__proto__'])('%j counts as internal', (code) => {
    expect(parseErrorCode(code)).toBe('internal');
  });

  it('of a newer server counts as internal, and its text is kept', () => {
    const said = { type: 'error', code: 'out-of-tea', message: 'the kettle is empty' };
    expect(serverMessageSchema.parse(said)).toEqual({ ...said, code: 'internal' });
    const refused = { type: 'refused', request: 3, code: 'all-busy', message: 'wait', missing: null };
    expect(serverMessageSchema.parse(refused)).toEqual(refused);
  });

  it('of a newer peer counts as internal, and its text is kept', () => {
    const fault = {
      session: '0'.repeat(32),
      stage: 1,
      code: 'out-of-tea',
      message: 'the kettle is empty',
      volunteer: null,
    };
    const told = decodePeerMessage(concatBytes(Uint8Array.of(6), utf8(JSON.stringify(fault))));
    expect(told).toEqual({ type: 'fault', ...fault, code: 'internal' });
  });
});

describe('a thrown value', () => {
  it('keeps its code where it has one, and its text in every case', () => {
    const known = new ChorusError('gap', 'rows are missing');
    expect(toChorusError(known, 'timeout')).toBe(known);
    expect(toChorusError(new TypeError('no'), 'server-lost')).toMatchObject({ code: 'server-lost', message: 'no' });
    expect(toChorusError('plain')).toMatchObject({ code: 'internal', message: 'plain' });
    expect(toChorusError(new DOMException('over', 'AbortError'))).toMatchObject({ code: 'cancelled' });
  });

  it('of the platform is marked as its words, one of ours is not', () => {
    expect(toChorusError(new TypeError('no')).raw).toBe('no');
    expect(toChorusError(new ChorusError('gap', 'rows are missing')).raw).toBeNull();
  });
});
