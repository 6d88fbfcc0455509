import { beforeAll, expect, test } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { type Manifest, MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { blobsOfStages } from '../../../web/network/held-blobs.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const FIRST = { start: 0, end: 4, embedding: true, head: false };
const SECOND = { start: 4, end: 8, embedding: false, head: true };
const { signal } = new AbortController();

let server: Identity;
beforeAll(async () => {
  [server] = (await makeIdentities(1)) as [Identity];
});

const digestOfModel = (manifest: Manifest): Digest => digestOf(utf8(JSON.stringify(manifest)));

/** A server that has these models, and says of others what `otherwise` is. */
function serving(manifests: readonly Manifest[], otherwise = new ChorusError('unknown-model', 'gone')) {
  return async (digest: Digest) => {
    const manifest = manifests.find((candidate) => digestOfModel(candidate) === digest);
    if (manifest === undefined) throw otherwise;
    return signEnvelope(server, MANIFEST_PAYLOAD_TYPE, utf8(JSON.stringify(manifest)));
  };
}

async function blobsOf(
  held: { manifest: Manifest; range: typeof FIRST }[],
  fetchManifest: ReturnType<typeof serving>,
): Promise<Set<Digest>> {
  const stages = held.map(({ manifest, range }) => ({ model: digestOfModel(manifest), range }));
  return blobsOfStages(stages, fetchManifest, { serverKey: server.publicKey, verify }, signal);
}

test('stages need all their blobs, those of every model', async () => {
  const [small, other] = [smallManifest(), smallManifest({ name: 'other' })];
  const held = [
    { manifest: small, range: FIRST },
    { manifest: other, range: SECOND },
  ];
  const expected = held.flatMap(({ manifest, range }) => stageBlobs(manifest, range).map(({ digest }) => digest));
  expect([...(await blobsOf(held, serving([small, other])))].sort()).toEqual([...new Set(expected)].sort());
});

test('a stage of a model that the server no longer has needs nothing, nor one that the model does not have', async () => {
  const [gone, shorter] = [smallManifest(), smallManifest({ layers: 2 })];
  const held = [
    { manifest: gone, range: FIRST },
    { manifest: shorter, range: SECOND },
  ];
  expect(await blobsOf(held, serving([shorter]))).toEqual(new Set());
});

test('what a stage needs is not guessed where the server does not answer', async () => {
  const lost = serving([], new ChorusError('server-lost', 'no word'));
  expect(await codeOfAsync(blobsOf([{ manifest: smallManifest(), range: FIRST }], lost))).toBe('server-lost');
});
