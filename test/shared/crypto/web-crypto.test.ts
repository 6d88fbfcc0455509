import { describe, expect, it } from 'vitest';
import { fromHex, utf8 } from '#shared/bytes.ts';
import { peerIdOf } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';

describe('Ed25519 by WebCrypto', () => {
  it('verifies test 3 of RFC 8032 section 7.1', async () => {
    const publicKey = fromHex('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
    const signature = fromHex(
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
        '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    );
    expect(await verifySignature(publicKey, fromHex('af82'), signature)).toBe(true);
    expect(await verifySignature(publicKey, fromHex('af83'), signature)).toBe(false);
  });

  it('makes keys that sign but cannot be read', async () => {
    const pair = await generateKeyPair();
    const identity = await identityOf(pair);
    const message = utf8('hello');
    expect(pair.privateKey.extractable).toBe(false);
    expect(identity.id).toBe(peerIdOf(identity.publicKey));
    expect(await verifySignature(identity.publicKey, message, await identity.sign(message))).toBe(true);
  });

  it.each([
    ['a short key', new Uint8Array(31), new Uint8Array(64)],
    ['a key that is no point', new Uint8Array(32).fill(0xff), new Uint8Array(64)],
    ['a short signature', new Uint8Array(32), new Uint8Array(63)],
  ])('says no to %s instead of throwing', async (_, key, signature) => {
    expect(await verifySignature(key, utf8('x'), signature)).toBe(false);
  });

  it('gives as many random bytes as asked', () => {
    expect(randomBytes(32).length).toBe(32);
    expect(randomBytes(32)).not.toEqual(randomBytes(32));
  });
});
