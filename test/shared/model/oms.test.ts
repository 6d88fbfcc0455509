import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import { preAuthEncoding } from '#shared/crypto/dsse.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import {
  compareSourceFiles,
  MAX_OMS_BYTES,
  omsRoot,
  omsStatement,
  parseOmsBundle,
  readOmsContent,
  signOms,
  sortSourceFiles,
  verifyOmsSignature,
  type OmsBundle,
  type SourceFile,
} from '#shared/model/oms.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { sourceFiles } from '../../support/model-sources.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const files = sourceFiles({ 'config.json': '{}', 'onnx/model.onnx': 'weights', 'README.md': 'a card' });
const options = { modelName: 'wren', ignoredPaths: ['model.sig', '.git'], hasLinks: false };
let signer: Identity;
let other: Identity;
let bundle: OmsBundle;
beforeAll(async () => {
  [signer, other] = (await makeIdentities(2)) as [Identity, Identity];
  bundle = await signOms(signer, omsStatement(files, options).statement);
});

const verifyWith =
  ({ publicKey }: Identity) =>
  (signed: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>) =>
    verifySignature(publicKey, signed, signature);
const bytesOf = (value: unknown) => utf8(JSON.stringify(value));
const statementOf = ({ dsseEnvelope }: OmsBundle) =>
  JSON.parse(new TextDecoder().decode(fromBase64(dsseEnvelope.payload))) as ReturnType<
    typeof omsStatement
  >['statement'];

describe('the root digest', () => {
  test('is the one that the reference signer wrote over two files', () => {
    const digests = [
      'bc9a717db6064a32cbe9eae6fc40651dd6d36ef1757183f590eff2b1765d7ebc',
      '32dcb1f8e1ae52d5963e56a6ba06ab58b424c15ed2a6b70d2feca1d089370028',
    ];
    const signed = digests.map((sha256, i) => ({ name: `signme-${i + 1}`, sha256 }) as SourceFile);
    expect(omsRoot(sortSourceFiles(signed.reverse()))).toBe(
      '92745110b1ab4368471cbe31664e10174e954b113a3df333db860317b2c6dec4',
    );
  });

  test('is over the files in the order of their paths, part by part and by code points', () => {
    const vector = JSON.parse(readFileSync(new URL('../../vectors/oms.json', import.meta.url), 'utf8')) as {
      unsorted: string[];
      files: SourceFile[];
      root: string;
    };
    const byName = new Map(vector.files.map((file) => [file.name, file]));
    const sorted = sortSourceFiles(vector.unsorted.map((name) => byName.get(name)!));
    expect(sorted).toEqual(vector.files);
    expect(omsRoot(sorted)).toBe(vector.root);
    // Any one digest, and the order, make another root.
    for (const wrong of sorted.keys()) {
      const changed = sorted.map((file, i) =>
        i === wrong ? { ...file, sha256: '0'.repeat(64) as typeof file.sha256 } : file,
      );
      expect(omsRoot(changed)).not.toBe(vector.root);
    }
    expect(omsRoot(sorted.toReversed())).not.toBe(vector.root);
  });
});

describe('a signed folder', () => {
  test('is a bundle with the statement of the specification in it', () => {
    expect(bundle).toMatchObject({
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { publicKey: { hint: publicKeyHint(publicKeyPem(signer.publicKey)) }, tlogEntries: [] },
      dsseEnvelope: { payloadType: 'application/vnd.in-toto+json' },
    });
    expect(statementOf(bundle)).toEqual({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'wren', digest: { sha256: omsStatement(files, options).root } }],
      predicateType: 'https://model_signing/signature/v1.0',
      predicate: {
        serialization: {
          method: 'files',
          hash_type: 'sha256',
          allow_symlinks: false,
          ignore_paths: ['model.sig', '.git'],
        },
        resources: ['README.md', 'config.json', 'onnx/model.onnx'].map((name) => ({
          name,
          algorithm: 'sha256',
          digest: files.find((file) => file.name === name)!.sha256,
        })),
      },
    });
  });

  test('is read back as it was signed, by the key that signed it', async () => {
    const read = parseOmsBundle(bytesOf(bundle));
    await verifyOmsSignature(read, verifyWith(signer));
    const content = readOmsContent(read);
    expect(content).toEqual({
      root: omsStatement(files, options).root,
      files: sortSourceFiles(files),
      ignoredPaths: options.ignoredPaths,
    });
    compareSourceFiles(content.files, files);
  });

  test('is signed over its pre-authentication encoding', async () => {
    const { payload, signatures } = bundle.dsseEnvelope;
    const signed = preAuthEncoding('application/vnd.in-toto+json', fromBase64(payload));
    expect(await verifySignature(signer.publicKey, signed, fromBase64(signatures[0]!.sig))).toBe(true);
  });

  test('with certificates, log entries and no hint, as other signers write it, is read all the same', () => {
    const { hint: _, ...publicKey } = bundle.verificationMaterial.publicKey!;
    const material = { publicKey, certificate: { rawBytes: 'AA==' }, tlogEntries: [{ logIndex: '7' }] };
    const { keyid: __, ...signature } = bundle.dsseEnvelope.signatures[0]!;
    const foreign = {
      ...bundle,
      verificationMaterial: material,
      dsseEnvelope: { ...bundle.dsseEnvelope, signatures: [signature] },
    };
    const read = parseOmsBundle(bytesOf(foreign));
    expect(read.verificationMaterial).toEqual(material);
    expect(readOmsContent(read).files).toHaveLength(3);
  });

  test('is refused for another key, and for any other byte in statement or signature', async () => {
    expect(await codeOfAsync(verifyOmsSignature(bundle, verifyWith(other)))).toBe('bad-signature');
    const { dsseEnvelope } = bundle;
    const payload = toBase64(utf8(JSON.stringify({ ...statementOf(bundle), more: 1 })));
    const changed = { ...bundle, dsseEnvelope: { ...dsseEnvelope, payload } };
    expect(await codeOfAsync(verifyOmsSignature(changed, verifyWith(signer)))).toBe('bad-signature');
    const sig = fromBase64(dsseEnvelope.signatures[0]!.sig);
    sig[63]! ^= 1;
    const forged = { ...bundle, dsseEnvelope: { ...dsseEnvelope, signatures: [{ sig: toBase64(sig) }] } };
    expect(await codeOfAsync(verifyOmsSignature(forged, verifyWith(signer)))).toBe('bad-signature');
  });
});

describe('a bundle is refused', () => {
  const cases: readonly (readonly [string, (spoiled: Spoiled) => void])[] = [
    ['of another media type', (spoiled) => (spoiled.mediaType = 'application/json')],
    ['without verification material', (spoiled) => delete spoiled.verificationMaterial],
    ['with another payload type', (spoiled) => (spoiled.dsseEnvelope.payloadType = 'text/plain')],
    ['without a signature', (spoiled) => (spoiled.dsseEnvelope.signatures = [])],
    [
      'with two signatures',
      ({ dsseEnvelope }) => (dsseEnvelope.signatures = [dsseEnvelope.signatures[0]!, dsseEnvelope.signatures[0]!]),
    ],
    ['with a signature that is no text', (spoiled) => (spoiled.dsseEnvelope.signatures = [{ sig: 1 }])],
    [
      'with a signature as long as a book',
      (spoiled) => (spoiled.dsseEnvelope.signatures = [{ sig: 'A'.repeat(9000) }]),
    ],
  ];
  test.each(cases)('%s', (_, spoil) => {
    const spoiled = structuredClone(bundle) as unknown as Spoiled;
    spoil(spoiled);
    expect(codeOf(() => parseOmsBundle(bytesOf(spoiled)))).toBe('bad-message');
  });

  test('that is no JSON, or larger than a bundle may be', () => {
    expect(codeOf(() => parseOmsBundle(utf8('{')))).toBe('bad-message');
    expect(codeOf(() => parseOmsBundle(new Uint8Array(MAX_OMS_BYTES + 1)))).toBe('too-large');
  });

  test('whose payload is not base64', () => {
    const spoiled = { ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, payload: '%' } };
    expect(codeOf(() => readOmsContent(spoiled))).toBe('bad-message');
  });
});

describe('a statement is refused', () => {
  type Statement = ReturnType<typeof statementOf>;
  const first = ({ predicate }: Statement) => predicate.resources[0]!;
  const cases: readonly (readonly [string, string, (statement: Statement) => unknown])[] = [
    [
      'of another version',
      'bad-message',
      (spoiled) => Object.assign(spoiled, { _type: 'https://in-toto.io/Statement/v2' }),
    ],
    [
      'with another predicate',
      'bad-message',
      (spoiled) => Object.assign(spoiled, { predicateType: 'https://slsa.dev/v1' }),
    ],
    ['without a subject', 'bad-message', (spoiled) => (spoiled.subject = [])],
    ['with two subjects', 'bad-message', (spoiled) => spoiled.subject.push(spoiled.subject[0]!)],
    [
      'with another root',
      'bad-message',
      (spoiled) => Object.assign(spoiled.subject[0]!.digest, { sha256: '0'.repeat(64) }),
    ],
    [
      'with its files in another order than the root says',
      'bad-message',
      (spoiled) => spoiled.predicate.resources.reverse(),
    ],
    ['without files', 'bad-message', (spoiled) => (spoiled.predicate.resources = [])],
    ['with a file left out', 'bad-message', (spoiled) => spoiled.predicate.resources.pop()],
    ['with a file twice', 'bad-message', (spoiled) => spoiled.predicate.resources.push(first(spoiled))],
    ['with a digest that is too short', 'bad-message', (spoiled) => (first(spoiled).digest = 'ab')],
    ['with a path that leads outside', 'bad-message', (spoiled) => (first(spoiled).name = '../config.json')],
    ['with an absolute path', 'bad-message', (spoiled) => (first(spoiled).name = '/etc/passwd')],
    ['with a path with a line feed', 'bad-message', (spoiled) => (first(spoiled).name = 'a\nb')],
    ['with a file by another digest', 'unsupported', (spoiled) => (first(spoiled).algorithm = 'blake2b')],
    ['over shards', 'unsupported', (spoiled) => (spoiled.predicate.serialization.method = 'shards')],
    ['with another hash', 'unsupported', (spoiled) => (spoiled.predicate.serialization.hash_type = 'blake3')],
  ];
  test.each(cases)('%s', (_, code, spoil) => {
    const spoiled = statementOf(bundle);
    spoil(spoiled);
    const payload = toBase64(bytesOf(spoiled));
    const signed = { ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, payload } };
    expect(codeOf(() => readOmsContent(signed))).toBe(code);
  });

  test('but not for fields that a later version adds', () => {
    const statement = { ...statementOf(bundle), later: true };
    const payload = toBase64(bytesOf(statement));
    expect(readOmsContent({ ...bundle, dsseEnvelope: { ...bundle.dsseEnvelope, payload } }).files).toHaveLength(3);
  });
});

test('a file may have a name with a space in it', async () => {
  const spaced = [{ ...files[0]!, name: 'the card.md' }];
  const { statement } = omsStatement(spaced, options);
  expect(readOmsContent(await signOms(signer, statement)).files).toEqual(spaced);
});

describe('files that are not those signed are named', () => {
  const named = (found: readonly SourceFile[]) => () => compareSourceFiles(files, found);
  test('where one is another', () => {
    const found = files.map((file) => (file.name === 'README.md' ? { ...file, sha256: files[0]!.sha256 } : file));
    expect(named(found)).toThrow('README.md is not the file');
    expect(codeOf(named(found))).toBe('digest-mismatch');
  });
  test('where one is missing', () => {
    expect(named(files.slice(1))).toThrow('lists config.json, which is missing');
  });
  test('where one was added', () => {
    const added = [...files, { ...files[0]!, name: 'extra.py' }];
    expect(named(added)).toThrow('does not list extra.py');
  });
});

interface Spoiled {
  mediaType?: string;
  verificationMaterial?: unknown;
  dsseEnvelope: { payloadType: string; signatures: unknown[] };
}
