import { expect, test } from 'vitest';
import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { checkModelSource, modelSourceSchema, type ModelSource } from '#shared/model/model-source.ts';
import { omsRoot, omsStatement, signOms, type OmsStatement } from '#shared/model/oms.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { unsignedSource } from '../../support/model-sources.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const unsigned = unsignedSource({ 'config.json': '{}', 'README.md': 'a card' });

async function signedSource(change = (statement: OmsStatement) => statement): Promise<ModelSource> {
  const signer = (await makeIdentities(1))[0]!;
  const { statement } = omsStatement(unsigned.files, { modelName: 'wren', ignoredPaths: [], hasLinks: false });
  const signature = { bundle: await signOms(signer, change(statement)), publicKey: publicKeyPem(signer.publicKey) };
  return modelSourceSchema.parse({ ...unsigned, signature });
}

test('a source says whether its signature was checked, and with what', async () => {
  const signed = await signedSource();
  expect(await checkModelSource(signed, verifySignature)).toBe('signed');
  expect(await checkModelSource(unsigned, verifySignature)).toBe('unsigned');
  const withoutKey = { ...signed, signature: { ...signed.signature!, publicKey: null } };
  expect(await checkModelSource(withoutKey, verifySignature)).toBe('unchecked');
});

test('a source is refused whose signature is by another key, or over other files', async () => {
  const [signed, other] = [await signedSource(), await signedSource()];
  const wrongKey = { ...signed, signature: { ...signed.signature!, publicKey: other.signature!.publicKey } };
  expect(await codeOfAsync(checkModelSource(wrongKey, verifySignature))).toBe('bad-signature');
  const otherFiles = { ...unsignedSource({ 'config.json': '[]', 'README.md': 'a card' }), signature: signed.signature };
  expect(await codeOfAsync(checkModelSource(otherFiles, verifySignature))).toBe('digest-mismatch');
});

test('a source is refused whose files were signed in another order', async () => {
  const reversed = await signedSource(({ subject, predicate, ...statement }) => ({
    ...statement,
    subject: [{ ...subject[0]!, digest: { sha256: omsRoot(unsigned.files.toReversed()) } }],
    predicate: { ...predicate, resources: predicate.resources.toReversed() },
  }));
  expect(await codeOfAsync(checkModelSource(reversed, verifySignature))).toBe('digest-mismatch');
});

test.each([
  ['with another root', { root: '0'.repeat(64) }],
  ['with its files in another order', { files: unsigned.files.toReversed() }],
  ['without files', { files: [] }],
  ['with a file twice', unsignedTwice()],
  ['from an address that is a program', { origin: 'javascript:alert(1)' }],
  ['from an address with a line feed', { origin: 'https://example.com/\n' }],
])('a source %s is malformed', (_, change) => {
  expect(modelSourceSchema.safeParse(unsigned).success).toBe(true);
  expect(modelSourceSchema.safeParse({ ...unsigned, ...change }).success).toBe(false);
});

function unsignedTwice(): Partial<ModelSource> {
  const { root, files } = unsignedSource({ a: 'same', b: 'same' });
  return { root, files: files.map((file) => ({ ...file, name: 'a' })) };
}
