import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { publicKeyPem, rawPublicKey } from '#shared/crypto/public-key-pem.ts';

const raw = new Uint8Array(
  generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }).subarray(12),
);

test('a key is written as other tools write it, to the byte, and read back', () => {
  const pem = publicKeyPem(raw);
  expect(createPublicKey(pem).export({ type: 'spki', format: 'pem' })).toBe(pem);
  expect(rawPublicKey(pem)).toEqual(raw);
});

test.each([
  ['no PEM', 'key'],
  ['no base64', '-----BEGIN PUBLIC KEY-----\n=A=\n-----END PUBLIC KEY-----\n'],
  ['a private key', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string],
  [
    'a key of another kind',
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }) as string,
  ],
])('%s is no key of ours', (_, pem) => {
  expect(rawPublicKey(pem)).toBeNull();
});
