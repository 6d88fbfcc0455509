import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { omsStatement, signOms } from '#shared/model/oms.ts';
import { checkModel } from '#shared/receipt/verify/check-model.ts';
import type { Found, Subject } from '#shared/receipt/verify/check.ts';
import { unsignedSource } from '../../../support/model-sources.ts';
import { smallManifest } from '../../../support/small-manifest.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

const [one, other] = (await makeIdentities(2)) as [Identity, Identity];
const source = unsignedSource({ 'config.json': '{}' });

async function signed(publicKey: string | null, files = source.files): Promise<Manifest> {
  const { statement } = omsStatement(files, { modelName: 'small', ignoredPaths: [], hasLinks: false });
  return { ...smallManifest(), source: { ...source, signature: { bundle: await signOms(one, statement), publicKey } } };
}

/** The check of a receipt that says of its model what this manifest does. */
async function check({ source, ...manifest }: Manifest): Promise<Found> {
  const bytes = utf8(JSON.stringify({ source, ...manifest }));
  const { runtime: name, runtimeVersion: version, quantization } = manifest.pins;
  const model = {
    ...{ name: manifest.name, manifest: { sha256: digestOf(bytes) }, root: { sha256: source.root } },
    ...{ layers: manifest.config.layers, hiddenSize: manifest.config.hiddenSize, quantization },
    runtime: { name, version },
  };
  return checkModel({ predicate: { model }, holdings: { manifest: bytes, verify } } as unknown as Subject);
}

describe('the manifest of a receipt’s model', () => {
  it('says who signed the list of its files', async () => {
    expect(await check(smallManifest())).toContain('which nobody signed');
    expect(await check(await signed(publicKeyPem(one.publicKey)))).toContain('signed by the key in it');
    expect(await check(await signed(null))).toContain('not checked here');
  });

  it('fails where its signature is by another key, or over other files', async () => {
    const codeOf = async (manifest: Manifest) =>
      check(manifest).catch((error: unknown) => (error instanceof ChorusError ? error.code : error));
    expect(await codeOf(await signed(publicKeyPem(other.publicKey)))).toBe('bad-signature');
    const others = unsignedSource({ 'config.json': '[]' }).files;
    expect(await codeOf(await signed(publicKeyPem(one.publicKey), others))).toBe('digest-mismatch');
  });
});
