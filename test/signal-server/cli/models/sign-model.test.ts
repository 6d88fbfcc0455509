import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import type { OmsBundle } from '#shared/model/oms.ts';
import { signModel } from '../../../../signal-server/cli/models/sign-model.ts';
import { verifyModel } from '../../../../signal-server/cli/models/verify-model.ts';
import { openKeyFile } from '../../../../signal-server/machine/key-file.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { unsignedSource } from '../../../support/model-sources.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

let scratch: string;
let folder: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-sign-'));
  folder = join(scratch, 'model');
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await writeFile(join(folder, 'config.json'), '{}');
  await writeFile(join(folder, 'onnx/model.onnx'), 'graph');
});
afterEach(() => rm(scratch, { recursive: true }));

test('a signed folder is verified with the key, and again after it was signed anew', async () => {
  const signer = (await makeIdentities(1))[0]!;
  const pem = publicKeyPem(signer.publicKey);
  const { root, files } = await signModel(folder, signer);
  expect(files).toBe(2);
  expect(root).toBe(unsignedSource({ 'config.json': '{}', 'onnx/model.onnx': 'graph' }).root);
  expect((await verifyModel(folder, pem)).root).toBe(root);
  await appendFile(join(folder, 'config.json'), ' ');
  expect(await codeOfAsync(verifyModel(folder, pem))).toBe('digest-mismatch');
  await signModel(folder, signer);
  expect((await verifyModel(folder, pem)).root).not.toBe(root);
});

test('a signature may lie under another name, in the folder or outside, and does not sign itself', async () => {
  const signer = (await makeIdentities(1))[0]!;
  for (const out of [join(folder, 'onnx/other.sig'), join(scratch, 'outside.sig')]) {
    await signModel(folder, signer, out);
    const { files } = await verifyModel(folder, publicKeyPem(signer.publicKey), out);
    expect(files.map(({ name }) => name)).not.toContain('onnx/other.sig');
    await rm(out);
  }
});

test('a folder is not verified with another key, nor signed over another’s signature', async () => {
  const [signer, other] = await makeIdentities(2);
  await signModel(folder, signer!);
  expect(await codeOfAsync(verifyModel(folder, publicKeyPem(other!.publicKey)))).toBe('bad-signature');
  expect(await codeOfAsync(signModel(folder, other!))).toBe('bad-model');
  expect((await verifyModel(folder, publicKeyPem(signer!.publicKey))).files).toHaveLength(2);
});

test('what is signed is what DSSE says, and needs nothing of ours to be verified', async () => {
  const signer = await openKeyFile(join(scratch, 'key.pem'));
  const { path } = await signModel(folder, signer);
  const { dsseEnvelope } = JSON.parse(await readFile(path, 'utf8')) as OmsBundle;
  const payload = Buffer.from(dsseEnvelope.payload, 'base64');
  const signed = Buffer.concat([Buffer.from(`DSSEv1 28 application/vnd.in-toto+json ${payload.length} `), payload]);
  const signature = Buffer.from(dsseEnvelope.signatures[0]!.sig, 'base64');
  const pem = createPublicKey(await readFile(join(scratch, 'key.pem')));
  expect(verify(null, signed, pem, signature)).toBe(true);
});

test('a key of another kind signs nothing', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(join(scratch, 'ec.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await expect(openKeyFile(join(scratch, 'ec.pem'))).rejects.toThrow('no Ed25519 key');
});
