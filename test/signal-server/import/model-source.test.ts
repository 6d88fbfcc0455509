import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { preAuthEncoding } from '#shared/crypto/dsse.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import { checkModelSource, type ModelSource } from '#shared/model/model-source.ts';
import { omsRoot, omsStatement, signOms, type OmsBundle, type SourceFile } from '#shared/model/oms.ts';
import { importModel, type ImportOptions } from '../../../signal-server/import/import-model.ts';
import { openSource } from '../../../signal-server/import/model-source.ts';
import { hashSourceFiles, listSourceFiles } from '../../../signal-server/import/source-files.ts';
import { importWren } from '../../support/imported-wren.ts';
import { sourceFiles } from '../../support/model-sources.ts';
import { sharedReference } from '../../support/shared-reference.ts';
import { buildSyntheticModel, syntheticShapes, writeSyntheticFolder } from '../../support/synthetic-models.ts';
import { makeIdentities } from '../../support/test-identity.ts';

let scratch: string;
let operator: Identity;
let publisher: Identity;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-source-'));
  [operator, publisher] = (await makeIdentities(2)) as [Identity, Identity];
});
afterAll(() => rm(scratch, { recursive: true }));

const texts = { 'config.json': '{}', 'README.md': 'a card', 'onnx/model.onnx': 'graph' };
const options = { signer: null, origin: null };
let folders = 0;
let folder: string;
beforeEach(async () => {
  folder = join(scratch, `model-${folders++}`);
  await mkdir(join(folder, 'onnx'), { recursive: true });
  for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
});

const seal = async (change: Partial<Parameters<Awaited<ReturnType<typeof openSource>>['seal']>[1]> = {}) =>
  (await openSource(folder)).seal(Object.keys(texts), { ...options, ...change });

async function refusal(promise: Promise<unknown>): Promise<ChorusError> {
  const thrown: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof ChorusError) return thrown;
  throw new Error(`not refused with a code: ${String(thrown)}`);
}

/** Signs as a publisher does, before anything is added or changed. */
async function publish(
  files: readonly SourceFile[] = sourceFiles(texts),
  ignoredPaths: readonly string[] = ['model.sig'],
): Promise<OmsBundle> {
  const { statement } = omsStatement(files, { modelName: 'model', ignoredPaths, hasLinks: false });
  const bundle = await signOms(publisher, statement);
  await writeFile(join(folder, 'model.sig'), JSON.stringify(bundle));
  return bundle;
}

describe('the source of a folder', () => {
  test('is every file in it, in folders too, and none of git’s, of a download’s or the signature', async () => {
    for (const ignored of ['.git', '.cache']) await mkdir(join(folder, ignored));
    for (const ignored of ['.git/config', '.cache/etag', '.gitattributes'])
      await writeFile(join(folder, ignored), 'here only');
    const { files, root } = await seal();
    expect(files.map(({ name }) => name)).toEqual(['README.md', 'config.json', 'onnx/model.onnx']);
    expect(files[0]!.sha256).toBe(createHash('sha256').update('a card').digest('hex'));
    expect(root).toBe(omsRoot(files));
  });

  test('is signed by the operator where the publisher did not, and the signature covers the files', async () => {
    const source = await seal({ signer: operator });
    expect(source.signature?.publicKey).toBe(publicKeyPem(operator.publicKey));
    expect(await checkModelSource(source, verifySignature)).toBe('signed');
  });

  test('keeps a publisher’s signature, checked if its key is known', async () => {
    const bundle = await publish();
    expect(await seal({ signer: operator })).toMatchObject({ signature: { bundle, publicKey: null } });
    const publisherKey = publicKeyPem(publisher.publicKey);
    expect(await seal({ signer: operator, publisherKey })).toMatchObject({
      signature: { bundle, publicKey: publisherKey },
    });
    expect(await seal({ signer: publisher })).toMatchObject({ signature: { bundle, publicKey: publisherKey } });
  });

  test.each(['P-256', 'P-384', 'P-521'] as const)(
    'takes a signature by a %s key, as the reference signer makes it',
    async (namedCurve) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
      const publisherKey = publicKey.export({ type: 'spki', format: 'pem' }) as string;
      await publishWith(privateKey, publisherKey, `sha${{ 'P-256': 256, 'P-384': 384, 'P-521': 512 }[namedCurve]}`);
      const source = await seal({ publisherKey });
      expect(source.signature?.publicKey).toBe(publisherKey);
      expect(await checkModelSource(source, verifySignature)).toBe('unchecked');
    },
  );

  test('never carries a private key that was given for the public one', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
    await publishWith(privateKey, pem, 'sha256');
    const source = await seal({ publisherKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string });
    expect(source.signature?.publicKey).toBe(pem);
  });

  test('leaves out what the publisher left out', async () => {
    await writeFile(join(folder, 'notes.txt'), 'unsigned');
    await publish(undefined, ['notes.txt']);
    expect((await seal()).files).toHaveLength(3);
  });

  test('holds links to files in the folder by what they lead to', async () => {
    await symlink('config.json', join(folder, 'other.json'));
    expect((await seal()).files.find(({ name }) => name === 'other.json')).toMatchObject({
      sha256: createHash('sha256').update('{}').digest('hex'),
    });
  });

  async function publishWith(privateKey: KeyObject, pem: string, hash: string): Promise<void> {
    const bundle = await publish();
    const payload = utf8(
      JSON.stringify(
        omsStatement(sourceFiles(texts), { modelName: 'model', ignoredPaths: [], hasLinks: false }).statement,
      ),
    );
    bundle.dsseEnvelope.payload = toBase64(payload);
    bundle.verificationMaterial = { publicKey: { hint: publicKeyHint(pem) }, tlogEntries: [] };
    const signature = sign(hash, preAuthEncoding('application/vnd.in-toto+json', payload), privateKey);
    bundle.dsseEnvelope.signatures = [{ sig: toBase64(signature), keyid: '' }];
    await writeFile(join(folder, 'model.sig'), JSON.stringify(bundle));
  }
});

describe('a folder is refused', () => {
  test('whose signature lists another file, a missing one, or not one that is there, and names it', async () => {
    await publish();
    await appendFile(join(folder, 'onnx/model.onnx'), '.');
    expect(await refusal(seal())).toMatchObject({
      code: 'digest-mismatch',
      message: 'onnx/model.onnx is not the file that model.sig lists',
    });
    await writeFile(join(folder, 'onnx/model.onnx'), 'graph');
    await writeFile(join(folder, 'extra.py'), '');
    expect(await refusal(seal())).toMatchObject({ message: 'model.sig does not list extra.py' });
    await rm(join(folder, 'extra.py'));
    await publish(sourceFiles({ ...texts, 'gone.json': '' }));
    expect(await refusal(seal())).toMatchObject({ message: 'model.sig lists gone.json, which is missing' });
  });

  test('whose signature leaves out what the model is made of', async () => {
    await publish(sourceFiles({ 'config.json': '{}', 'README.md': 'a card' }), ['onnx']);
    expect(await refusal(seal())).toMatchObject({ code: 'bad-model', message: 'model.sig leaves out onnx/model.onnx' });
  });

  test('whose signature is by another key than the publisher’s, or not there', async () => {
    const publisherKey = publicKeyPem(operator.publicKey);
    expect((await refusal(seal({ publisherKey }))).code).toBe('bad-signature');
    await publish();
    expect((await refusal(seal({ publisherKey }))).code).toBe('bad-signature');
    expect((await refusal(seal({ publisherKey: 'no key' }))).code).toBe('bad-message');
  });

  test('whose signature hints at the operator’s key and is not by it', async () => {
    const bundle = await publish();
    bundle.verificationMaterial.publicKey!.hint = publicKeyHint(publicKeyPem(operator.publicKey));
    await writeFile(join(folder, 'model.sig'), JSON.stringify(bundle));
    expect((await refusal(seal({ signer: operator }))).code).toBe('bad-signature');
  });

  test('whose signature is no bundle', async () => {
    await writeFile(join(folder, 'model.sig'), '{}');
    expect((await refusal(seal())).code).toBe('bad-message');
  });

  test.each([
    ['a link that leads outside', () => symlink('/etc/hostname', join(folder, 'link'))],
    ['a link to a folder', () => symlink('onnx', join(folder, 'link'))],
    ['a file name with a line feed', () => writeFile(join(folder, 'a\nb'), '')],
    ['folders too deep', () => mkdir(join(folder, 'd/'.repeat(20)), { recursive: true })],
  ])('with %s', async (_, spoil) => {
    await spoil();
    expect((await refusal(seal())).code).toBe('bad-model');
  });
});

test.each([
  ['written to', () => appendFile(join(folder, 'config.json'), ' ')],
  [
    'replaced by another of the same size',
    async () => {
      await writeFile(join(folder, 'new'), '[]');
      await rename(join(folder, 'new'), join(folder, 'config.json'));
    },
  ],
])('a file that is %s between listing and hashing is named', async (_, change) => {
  const listing = await listSourceFiles(folder, []);
  await change();
  expect(await refusal(hashSourceFiles(listing))).toMatchObject({
    code: 'bad-model',
    message: 'config.json was changed while it was read',
  });
});

describe('an imported model', { timeout: 90_000 }, () => {
  const reference = sharedReference();
  const importIt = (change: Partial<ImportOptions> = {}) =>
    importModel(folder, { dataFolder: join(scratch, 'data'), reference, onProgress: () => undefined, ...change });

  test('tells its root and files; where it comes from, by its card or its operator; and who signed it', async () => {
    await rm(folder, { recursive: true });
    await writeSyntheticFolder(folder, syntheticShapes.llamaQ4, buildSyntheticModel(syntheticShapes.llamaQ4));
    await writeFile(join(folder, 'README.md'), '---\nlicense: mit\norigin: https://example.com/model\n---\nA model.\n');
    const { manifest, report } = await importIt({ signer: operator });
    const { source } = manifestSchema.parse(JSON.parse(JSON.stringify(manifest)));
    expect(report.root).toBe(source.root);
    expect(source.files.map(({ name }) => name)).toContain('onnx/model_q4.onnx');
    expect(source.origin).toBe('https://example.com/model');
    expect(await checkModelSource(source, verifySignature)).toBe('signed');
    const moved = await importIt({ signer: operator, origin: 'https://example.org/copy' });
    expect(moved.manifest.source).toEqual({ ...source, origin: 'https://example.org/copy' } satisfies ModelSource);
  });

  test('is not imported where its signature lists another graph', async () => {
    await rm(folder, { recursive: true });
    await writeSyntheticFolder(folder, syntheticShapes.llamaQ4, buildSyntheticModel(syntheticShapes.llamaQ4));
    const listing = await listSourceFiles(folder, []);
    const files = await hashSourceFiles(listing);
    await publish(files.map((file) => (file.name.endsWith('.onnx') ? { ...file, sha256: files[0]!.sha256 } : file)));
    expect(await refusal(importIt())).toMatchObject({ code: 'digest-mismatch' });
    await publish(files);
    const { report } = await importIt();
    expect(report.warnings.join()).toContain('who signed it was not checked');
  });

  test('has the root that its files give with other tools', async () => {
    const { manifest } = await importWren();
    const root = createHash('sha256');
    for (const { name, sha256 } of manifest.source.files) {
      const digest = createHash('sha256')
        .update(await readFile(join('models/wren', name)))
        .digest();
      expect(sha256).toBe(digest.toString('hex'));
      root.update(digest);
    }
    expect(manifest.source.root).toBe(root.digest('hex'));
  });
});
