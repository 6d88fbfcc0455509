import { beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { type Manifest, MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { omsStatement, signOms } from '#shared/model/oms.ts';
import { openModel, type OpenedModel } from '../../../web/receipts/open-model.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { unsignedSource } from '../../support/model-sources.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const CARD = '---\nlicense: mit\n---\n# Wren\n\nIt is small.\n';
const card = { digest: digestOf(utf8(CARD)), bytes: CARD.length, pieces: [digestOf(utf8(CARD))] };
const source = unsignedSource({ 'config.json': '{}', 'README.md': CARD });
const { signal } = new AbortController();

let server: Identity;
let publisher: Identity;
beforeAll(async () => {
  [server, publisher] = (await makeIdentities(2)) as [Identity, Identity];
});

interface Given {
  readonly manifest?: unknown;
  /** The server's reply in its place. */
  readonly gives?: string;
  readonly card?: string | null;
}

async function open({ manifest = { ...smallManifest(), card, source }, gives, card: given = CARD }: Given = {}) {
  const text = JSON.stringify(manifest);
  const envelope = await signEnvelope(server, MANIFEST_PAYLOAD_TYPE, utf8(gives ?? text));
  const fetchRange = () =>
    given === null ? Promise.reject(new ChorusError('server-lost', 'gone')) : Promise.resolve(utf8(given));
  return openModel(
    digestOf(utf8(text)),
    { fetchManifest: () => Promise.resolve(envelope), fetchRange, verify },
    signal,
  );
}

async function signedBy(signer: Identity, publicKey: string | null): Promise<Manifest> {
  const { statement } = omsStatement(source.files, { modelName: 'small', ignoredPaths: [], hasLinks: false });
  return {
    ...smallManifest(),
    card,
    source: { ...source, signature: { bundle: await signOms(signer, statement), publicKey } },
  };
}

async function signerIn(manifest: Manifest): Promise<OpenedModel['signer']> {
  return (await open({ manifest })).signer;
}

describe('a model that is opened in the page', () => {
  it('is what its manifest says, with its card', async () => {
    const { manifest, card: text, signer } = await open();
    expect(manifest.source).toEqual(source);
    expect(text).toBe('# Wren\n\nIt is small.');
    expect(signer).toEqual({ who: 'nobody', isChecked: false, keyHint: null });
  });

  it('is signed by the operator where the same key signed the manifest, else by somebody else', async () => {
    const [ours, theirs] = [publicKeyPem(server.publicKey), publicKeyPem(publisher.publicKey)];
    const isChecked = true;
    expect(await signerIn(await signedBy(server, ours))).toEqual({
      ...{ who: 'operator', isChecked },
      keyHint: publicKeyHint(ours),
    });
    expect(await signerIn(await signedBy(publisher, theirs))).toEqual({
      ...{ who: 'publisher', isChecked },
      keyHint: publicKeyHint(theirs),
    });
    expect(await signerIn(await signedBy(publisher, null))).toMatchObject({ who: 'unknown', isChecked: false });
    const other = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n';
    expect(await signerIn(await signedBy(publisher, other))).toMatchObject({ who: 'publisher', isChecked: false });
  });

  it.each<[string, string, () => Promise<OpenedModel>]>([
    ['another manifest', 'digest-mismatch', () => open({ gives: JSON.stringify(smallManifest({ name: 'owl' })) })],
    ['no manifest', 'bad-manifest', () => open({ manifest: { name: 'owl' } })],
    [
      'a manifest with a false signature',
      'bad-signature',
      async () => open({ manifest: await signedBy(server, publicKeyPem(publisher.publicKey)) }),
    ],
    [
      'a manifest of other files',
      'bad-manifest',
      () => open({ manifest: { ...smallManifest(), source: { ...source, root: '0'.repeat(64) } } }),
    ],
  ])('is refused: %s', async (_, code, opening) => {
    expect(await codeOfAsync(opening())).toBe(code);
  });

  it.each([
    ['cannot be fetched', null],
    ['is another', 'The card of an owl.'],
  ])('does without a card that %s', async (_, given) => {
    expect((await open({ card: given })).card).toBeNull();
  });
});
