import { describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { openEnvelope, preAuthEncoding, signEnvelope } from '#shared/crypto/dsse.ts';
import { generateKeyPair, identityOf, verifySignature } from '#shared/crypto/web-crypto.ts';
import { codeOfAsync } from '../../support/code-of.ts';

const identity = await identityOf(await generateKeyPair());
const stranger = await identityOf(await generateKeyPair());
const payload = utf8('{"hello":"world"}');
const type = 'application/vnd.chorus.test+json';
const envelope = await signEnvelope(identity, type, payload);
const open = (change: Partial<typeof envelope> = {}, key = identity.publicKey): Promise<Uint8Array> =>
  openEnvelope({ ...envelope, ...change }, type, key, verifySignature);

describe('DSSE envelopes', () => {
  it('encode what is signed as the example of the specification', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'));
    expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
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
