import { expect, test } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import type { ModelSource } from '#shared/model/model-source.ts';
import { omsStatement, signOms } from '#shared/model/oms.ts';
import { modelListSchema } from '#shared/wire/model-list.ts';
import { listModels } from '../../../signal-server/http/list-models.ts';
import { DEFAULT_DEVICE } from '../../../signal-server/placement/model-fit.ts';
import { unsignedSource } from '../../support/model-sources.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { makeIdentities } from '../../support/test-identity.ts';

test('the list says whose signature lies on a model: the operator’s, a publisher’s, one unchecked, or nobody’s', async () => {
  const [operator, publisher] = (await makeIdentities(2)) as [Identity, Identity];
  const source = { ...unsignedSource(), origin: 'https://example.com/model' };
  const { statement } = omsStatement(source.files, { modelName: 'm', ignoredPaths: [], hasLinks: false });
  const signedBy = async (signer: Identity, publicKey: string | null): Promise<ModelSource> => ({
    ...source,
    signature: { bundle: await signOms(signer, statement), publicKey },
  });
  const pemOf = ({ publicKey }: Identity) => publicKeyPem(publicKey);
  const sources = [
    await signedBy(operator, pemOf(operator)),
    await signedBy(publisher, pemOf(publisher)),
    await signedBy(publisher, null),
    source,
  ];
  const entries = sources.map((one, i) => ({
    digest: digestOf(utf8(`${i}`)),
    manifest: { ...smallManifest(), source: one },
    need: { servable: 2, checked: null, leastPledge: 5e7, memoryBytes: 1e8, device: DEFAULT_DEVICE },
  }));
  const { models } = modelListSchema.parse(listModels(entries, operator.publicKey));
  expect(models.map((model) => model.signedBy)).toEqual([
    { who: 'operator', keyHint: publicKeyHint(pemOf(operator)) },
    { who: 'publisher', keyHint: publicKeyHint(pemOf(publisher)) },
    { who: 'unknown', keyHint: publicKeyHint(pemOf(publisher)) },
    null,
  ]);
  expect(models[0]).toMatchObject({ root: source.root, origin: source.origin, licence: 'none', card: null });
  const needs = { leastPledgeBytes: 5e7, memoryBytes: 1e8, tabBytes: 512e6, tabsToAnswer: 2, tabsToCheck: null };
  expect(models[0]!.needs).toEqual(needs);
});
