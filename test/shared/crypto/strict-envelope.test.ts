import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { canonicalBase64, parseJsonBytes, strictParts } from '#shared/crypto/strict-envelope.ts';
import { codeOf } from '../../support/code-of.ts';
import { makeIdentities } from '../../support/test-identity.ts';

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

describe('an envelope that is not strict', async () => {
  const TYPE = 'application/vnd.chorus.test+json';
  const [signer, other] = (await makeIdentities(2)) as [Identity, Identity];
  const good = await signEnvelope(signer, TYPE, utf8('{}'));
  const [signature] = good.signatures;
  const reasonFor = (envelope: Envelope) => () => strictParts(envelope, TYPE, signer.publicKey);

  it('is told which type it has, and which it must have', () => {
    expect(reasonFor({ ...good, payloadType: 'text/plain' })).toThrow(`its type is text/plain; it must be ${TYPE}`);
  });

  it('is told how many signatures it has, and how many are allowed', () => {
    expect(reasonFor({ ...good, signatures: [] })).toThrow('it has 0 signatures; exactly one is allowed');
    expect(reasonFor({ ...good, signatures: [signature!, signature!] })).toThrow(
      'it has 2 signatures; exactly one is allowed',
    );
  });

  it('is told that its key id is that of another key', () => {
    expect(reasonFor({ ...good, signatures: [{ ...signature!, keyid: other.id }] })).toThrow(
      'its key id is not that of',
    );
  });

  it('is told that its payload is not JSON', () => {
    expect(() => parseJsonBytes(utf8('{'))).toThrow('its payload is not JSON in UTF-8');
    expect(() => parseJsonBytes(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('its payload is not JSON in UTF-8');
  });

  it('is told that its base64 is not written in the one way that is allowed', () => {
    expect(reasonFor({ ...good, payload: `${good.payload}\n` })).toThrow('not base64 in the one way that is allowed');
  });
});
