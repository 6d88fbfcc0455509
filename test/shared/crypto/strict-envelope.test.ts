import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { canonicalBase64 } from '#shared/crypto/strict-envelope.ts';
import { codeOf } from '../../support/code-of.ts';

describe('base64 that is written in one way only', () => {
  it('comes back as the bytes it was made of', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(canonicalBase64(toBase64(bytes))).toEqual(Uint8Array.from(bytes));
      }),
    );
  });

  it.each(['A', 'AA', 'AAA', 'AB==', 'AAB=', '====', 'AA=A', ' AAA', 'AAA\n', 'AA==AAAA', '-_AA', 'A==='])(
    'is not %j',
    (text) => {
      expect(codeOf(() => canonicalBase64(text))).toBe('bad-message');
    },
  );
});
