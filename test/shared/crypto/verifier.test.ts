import { describe, expect, it } from 'vitest';
import { fromHex, utf8 } from '#shared/bytes.ts';
import { createVerifier, type VerifyingSubtle } from '#shared/crypto/verifier.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';

const { subtle } = globalThis.crypto;
const notSupported = () => Promise.reject(new DOMException('Unrecognized name.', 'NotSupportedError'));

/** WebCrypto as the tests want it, and how often it verified. */
function platform(change: Partial<VerifyingSubtle>): { subtle: VerifyingSubtle; calls: () => number } {
  let calls = 0;
  const real: VerifyingSubtle = {
    importKey: (_format, key) => subtle.importKey('raw', key as Uint8Array<ArrayBuffer>, 'Ed25519', false, ['verify']),
    verify: (algorithm, key, signature, data) => {
      calls++;
      return subtle.verify(algorithm, key, signature, data);
    },
  };
  return { subtle: { ...real, ...change }, calls: () => calls };
}

const PLATFORMS: [string, () => VerifyingSubtle | undefined][] = [
  ['WebCrypto', () => platform({}).subtle],
  ['a page over plain http, which has no WebCrypto', () => undefined],
  ['a WebCrypto without Ed25519', () => platform({ importKey: notSupported }).subtle],
  ['a WebCrypto that imports the key and cannot verify', () => platform({ verify: notSupported }).subtle],
  [
    'a WebCrypto that throws before it promises anything',
    () =>
      platform({
        importKey: () => {
          throw new TypeError('not a function');
        },
      }).subtle,
  ],
  ['a WebCrypto to which every signature is good', () => platform({ verify: () => Promise.resolve(true) }).subtle],
  ['a WebCrypto to which none is', () => platform({ verify: () => Promise.resolve(false) }).subtle],
];

describe.each(PLATFORMS)('with %s', (_, subtleOf) => {
  it('a signature is good, and one on another message, by another key or changed is not', async () => {
    const verify = createVerifier(subtleOf);
    const [identity, other] = await Promise.all([
      identityOf(await generateKeyPair()),
      identityOf(await generateKeyPair()),
    ]);
    const message = utf8('what was said');
    const signature = await identity.sign(message);
    const changed = signature.with(5, signature[5]! ^ 1);
    expect(await verify(identity.publicKey, message, signature)).toBe(true);
    expect(await verify(identity.publicKey, utf8('something else'), signature)).toBe(false);
    expect(await verify(other.publicKey, message, signature)).toBe(false);
    expect(await verify(identity.publicKey, message, changed)).toBe(false);
  });

  it.each([
    ['a short key', new Uint8Array(31), new Uint8Array(64)],
    ['a key that is no point', new Uint8Array(32).fill(0xff), new Uint8Array(64)],
    ['a short signature', new Uint8Array(32), new Uint8Array(63)],
    [
      'a signature whose scalar is not below the order of the group',
      fromHex('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025'),
      new Uint8Array(64).fill(0xff),
    ],
  ])('%s is answered with no instead of an exception', async (_, key, signature) => {
    expect(await createVerifier(subtleOf)(key, utf8('x'), signature)).toBe(false);
  });
});

it('WebCrypto is tried once, and left alone where it did not know a good signature', async () => {
  let tries = 0;
  const counted = platform({
    verify: () => {
      tries++;
      return Promise.resolve(false);
    },
  });
  const verify = createVerifier(() => counted.subtle);
  await Promise.all([1, 2, 3].map(() => verify(new Uint8Array(32), utf8('x'), new Uint8Array(64))));
  expect(tries).toBe(1);
});

it('WebCrypto verifies where it can', async () => {
  const counted = platform({});
  const verify = createVerifier(() => counted.subtle);
  const identity = await identityOf(await generateKeyPair());
  const signature = await identity.sign(utf8('x'));
  expect(await verify(identity.publicKey, utf8('x'), signature)).toBe(true);
  // Two of the known answer, and this one.
  expect(counted.calls()).toBe(3);
});
