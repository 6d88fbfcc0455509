import { describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { MAX_GIVEN_BYTES, readGivenFile, recognize } from '../../../web/receipts/given-files.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';

const secrets = { format: 'chorus-receipt-secrets/1', salt: '07'.repeat(32), prompt: 'Hello', tokens: [1, 2] };

const signed = {
  payloadType: MANIFEST_PAYLOAD_TYPE,
  payload: toBase64(utf8('{"format": "chorus-manifest/3"}')),
  signatures: [{ keyid: 'a'.repeat(64), sig: 'AAAA' }],
};

describe('what was given', () => {
  it.each([
    ['a receipt', JSON.stringify({ format: 'chorus-receipt/1', envelope: {}, proof: null }), 'receipt'],
    ['a receipt of a later version', JSON.stringify({ format: 'chorus-receipt/9' }), 'receipt'],
    ['secrets', JSON.stringify(secrets), 'secrets'],
    ['a manifest', JSON.stringify({ format: 'chorus-manifest/3' }), 'manifest'],
    ['a signed manifest', JSON.stringify(signed), 'manifest'],
    ['another signed thing', JSON.stringify({ ...signed, payloadType: 'text/plain' }), 'text'],
    ['a proof', 'c2sp.org/tlog-proof@v1\nindex 3\n\n', 'proof'],
    ['a policy', '# mine\nlog a+12345678+AQ\n\nquorum none\n', 'policy'],
    ['an answer', 'The wren is small.\n', 'text'],
    ['an answer that speaks of logs', 'log in, then reach the quorum\nand go on', 'text'],
    ['an answer in JSON', '{"wren": "small"}', 'text'],
    ['an answer of one number', '42', 'text'],
    ['nothing', '', 'text'],
    ['a policy after a byte order mark', '\ufefflog a+12345678+AQ\nquorum none\n', 'policy'],
    ['a receipt after one', `\ufeff${JSON.stringify({ format: 'chorus-receipt/1' })}`, 'receipt'],
  ])('is known by its content: %s', (_, text, kind) => {
    expect(recognize(text).kind).toBe(kind);
  });

  it('has its secrets parsed', () => {
    expect(codeOf(() => recognize(JSON.stringify({ ...secrets, salt: 'short' })))).toBe('bad-message');
  });

  it('has its manifest as it was hashed', () => {
    const bytes = (text: string) => {
      const given = recognize(text);
      return given.kind === 'manifest' ? new TextDecoder().decode(given.bytes) : given.kind;
    };
    expect(bytes(JSON.stringify(signed, null, 2))).toBe('{"format": "chorus-manifest/3"}');
    expect(bytes('\n{ "format": "chorus-manifest/3" }\n')).toBe('\n{ "format": "chorus-manifest/3" }\n');
    expect(codeOf(() => recognize(JSON.stringify({ ...signed, payload: '%' })))).toBe('bad-message');
  });

  it('is not read if it is too large or no text', async () => {
    const file = (size: number, bytes: Uint8Array<ArrayBuffer>) => ({
      name: 'a',
      size,
      arrayBuffer: () => Promise.resolve(bytes.buffer),
    });
    expect(await codeOfAsync(readGivenFile(file(MAX_GIVEN_BYTES + 1, new Uint8Array())))).toBe('too-large');
    expect(await codeOfAsync(readGivenFile(file(1, Uint8Array.of(0xff))))).toBe('bad-message');
    expect(await readGivenFile(file(1, Uint8Array.of(0x41)))).toBe('A');
    expect(await readGivenFile(file(4, Uint8Array.of(0xef, 0xbb, 0xbf, 0x41)))).toBe('\ufeffA');
  });
});
