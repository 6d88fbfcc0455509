import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, toHex, utf8 } from '#shared/bytes.ts';
import { CLAIM_DOMAIN, MAX_CLAIM_ROWS, type Claim } from '#shared/credit/claim.ts';
import { encodeClaim, MAX_CLAIM_BYTES, parseClaim } from '#shared/credit/claim-codec.ts';
import type { Digest, SessionId } from '#shared/ids.ts';
import { MAX_POSITIONS, MAX_STAGES } from '#shared/limits.ts';
import { sketchesOf } from '../../support/claims.ts';
import { codeOf } from '../../support/code-of.ts';

const digest = (digit: string) => digit.repeat(64) as Digest;
const claim: Claim = {
  session: '00112233445566778899aabbccddeeff' as SessionId,
  stage: 2,
  range: { start: 3, end: 9, embedding: false, head: true },
  role: 'shadow',
  ...{ model: digest('1'), numericClass: digest('2') },
  ...{ from: 258, positions: 300 },
  ...{ input: digest('3'), output: digest('4'), runs: digest('5'), seed: digest('6') },
  sketch: sketchesOf(2),
};
const bytes = encodeClaim(claim);
/** The claim with other bytes from `offset` on. */
const patched = (offset: number, ...values: number[]): Uint8Array<ArrayBuffer> => {
  const copy = bytes.slice();
  copy.set(values, offset);
  return copy;
};

describe('the bytes of a claim', () => {
  it('are those that docs/protocol.md says', () => {
    expect(CLAIM_DOMAIN).toHaveLength(16);
    const numbers = [2, 1, 2, 2, 3, 0, 9, 0, 2, 1, 0, 0, 44, 1, 0, 0];
    expect(toHex(bytes)).toBe(
      [toHex(utf8('chorus-credit/1\n')), claim.session, toHex(Uint8Array.from(numbers))].join('') +
        ['1', '2', '3', '4', '5', '6'].map(digest).join('') +
        toHex(claim.sketch),
    );
  });

  it('give it back as it was, the largest and the smallest too', () => {
    const largest: Claim = {
      ...claim,
      ...{ stage: MAX_STAGES - 1, role: 'replay', from: 0, positions: MAX_POSITIONS },
      range: { start: 0, end: 256, embedding: true, head: true },
      sketch: sketchesOf(MAX_CLAIM_ROWS),
    };
    const smallest: Claim = { ...claim, stage: 0, role: 'primary', from: 1, positions: 1, sketch: new Uint8Array() };
    for (const each of [claim, largest, smallest]) expect(parseClaim(encodeClaim(each))).toEqual(each);
    expect(encodeClaim(largest)).toHaveLength(MAX_CLAIM_BYTES);
  });

  it.each<[string, () => Uint8Array<ArrayBuffer>]>([
    ['none', () => new Uint8Array()],
    ['cut short', () => bytes.slice(0, -1)],
    ['longer by a byte', () => concatBytes(bytes, new Uint8Array(1))],
    ['another statement’s', () => concatBytes(utf8('chorus-reveal/1\n'), bytes.subarray(16))],
    ['of a stage that none has', () => patched(32, MAX_STAGES)],
    ['of a role that none has', () => patched(33, 3)],
    ['with a flag that none has', () => patched(34, 4)],
    ['of layers that end before they begin', () => patched(36, 10)],
    ['of positions that end before they begin', () => patched(44, 0)],
    ['of no positions', () => patched(40, 0, 0, 0, 0, 0, 0, 0, 0)],
    ['of more positions than a session has', () => patched(44, 255, 255, 255, 255)],
    ['with another number of sketches than they say', () => patched(35, 1)],
    ['with more sketches than positions', () => patched(40, 43, 1)],
  ])('are refused if they are %s', (_, wrong) => {
    expect(codeOf(() => parseClaim(wrong()))).toBe('bad-message');
  });

  it('are not made for what could not be read', () => {
    expect(codeOf(() => encodeClaim({ ...claim, sketch: sketchesOf(MAX_CLAIM_ROWS + 1) }))).toBe('bad-message');
    expect(codeOf(() => encodeClaim({ ...claim, positions: 257 }))).toBe('bad-message');
  });

  it('whatever they are, give a claim that has these bytes or bad-message', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = patched(at, value);
        let read: Claim | null = null;
        expect(['no error', 'bad-message']).toContain(codeOf(() => (read = parseClaim(changed))));
        if (read !== null) expect(encodeClaim(read)).toEqual(changed);
      }),
      { numRuns: 500 },
    );
  });
});
