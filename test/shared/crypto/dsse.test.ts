import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toBase64, utf8 } from '#shared/bytes.ts';
import { openEnvelope, preAuthEncoding, signEnvelope } from '#shared/crypto/dsse.ts';
import type { VerifySignature } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, verifySignature } from '#shared/crypto/web-crypto.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { specJson } from '../../support/spec-vector.ts';

const identity = await identityOf(await generateKeyPair());
const stranger = await identityOf(await generateKeyPair());
const payload = utf8('{"hello":"world"}');
const type = 'application/vnd.chorus.test+json';
const envelope = await signEnvelope(identity, type, payload);
const open = (change: Partial<typeof envelope> = {}, key = identity.publicKey): Promise<Uint8Array> =>
  openEnvelope({ ...envelope, ...change }, type, key, verifySignature);

/** ECDSA over P-256, which envelopes here are not signed with. */
const example = specJson('dsse.json') as {
  readonly body: string;
  readonly type: string;
  readonly pae: string;
  readonly key: { readonly x: string; readonly y: string };
  readonly envelope: { readonly payload: string; readonly payloadType: string; readonly signatures: { sig: string }[] };
};
const coordinate = (decimal: string): Uint8Array => fromHex(BigInt(decimal).toString(16).padStart(64, '0'));
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const verifyEcdsa: VerifySignature = async (publicKey, data, signature) =>
  crypto.subtle.verify(
    ecdsa,
    await crypto.subtle.importKey('raw', publicKey, ecdsa, false, ['verify']),
    signature,
    data,
  );

function openExample(change: Partial<typeof envelope> = {}): Promise<Uint8Array> {
  const signatures = example.envelope.signatures.map(({ sig }) => ({ keyid: '', sig }));
  const key = concatBytes(Uint8Array.of(4), coordinate(example.key.x), coordinate(example.key.y));
  return openEnvelope({ ...example.envelope, signatures, ...change }, example.type, key, verifyEcdsa);
}

describe('DSSE envelopes', () => {
  it('encode what is signed as the example of the specification', () => {
    expect(new TextDecoder().decode(preAuthEncoding(example.type, utf8(example.body)))).toBe(example.pae);
  });

  it('open as the example of the specification, by its own kind of key', async () => {
    expect(new TextDecoder().decode(await openExample())).toBe(example.body);
    const { pae, envelope: sealed } = example;
    expect(pae.endsWith(example.body)).toBe(true);
    const wrong: readonly (readonly [string, Partial<typeof envelope>])[] = [
      ['bad-signature', { payload: toBase64(utf8('hello worlds')) }],
      ['bad-message', { payload: '?' }],
      ['bad-message', { payloadType: 'http://example.com/HelloWorlds' }],
      ['bad-signature', { signatures: [{ keyid: '', sig: `B${sealed.signatures[0]!.sig.slice(1)}` }] }],
      ['bad-signature', { signatures: [] }],
    ];
    for (const [code, change] of wrong) expect(await codeOfAsync(openExample(change))).toBe(code);
  });

  it('count bytes, not characters', () => {
    expect(new TextDecoder().decode(preAuthEncoding('ü', utf8('é')))).toBe('DSSEv1 2 ü 2 é');
  });

  it('open to the payload with the key that signed', async () => {
    expect(await open()).toEqual(payload);
    expect(envelope.signatures[0]?.keyid).toBe(identity.id);
  });

  it('open if any one signature is good', async () => {
    const [good] = envelope.signatures;
    const other = (await signEnvelope(stranger, type, payload)).signatures[0];
    expect(await open({ signatures: [other, good] as typeof envelope.signatures })).toEqual(payload);
  });

  it.each([
    ['a changed payload', 'bad-signature', { payload: toBase64(utf8('{"hello":"mars"}')) }],
    ['another payload type', 'bad-message', { payloadType: 'application/vnd.chorus.other+json' }],
    ['a payload that is not base64', 'bad-message', { payload: '%%%' }],
    ['a signature cut short', 'bad-signature', { signatures: [{ keyid: identity.id, sig: 'AAAA' }] }],
    ['a signature that is not base64', 'bad-message', { signatures: [{ keyid: identity.id, sig: '?' }] }],
  ])('stay closed with %s: %s', async (_, code, change) => {
    expect(await codeOfAsync(open(change))).toBe(code);
  });

  it('stay closed to the key of somebody else, whatever the key id says', async () => {
    expect(await codeOfAsync(open({}, stranger.publicKey))).toBe('bad-signature');
  });
});
