import { join } from 'node:path';
import type { RequestHandler } from 'express';
import type { ModelText } from '#shared/text/model-text.ts';
import { openKeyFile } from '../machine/key-file.ts';
import { systemClock as clock, systemRandom as random } from '../machine/system-clock.ts';
import { createDiskBlobStore } from '../node-peer/disk-blob-store.ts';
import { loadModelText } from '../node-peer/load-model-text.ts';
import { createNodeRequester } from '../node-peer/requester-program.ts';
import type { CatalogEntry, ModelCatalog } from '../placement/model-catalog.ts';
import type { Companion, CompanionContext } from '../server.ts';
import { createReceiptGiver } from './answer-receipt.ts';
import type { GatewayModels } from './gateway-models.ts';
import { createGateway } from './gateway.ts';

/** The gateway in the server's process: a requester like any other, with a key of its own, behind the OpenAI API. */
export async function startGateway(
  context: CompanionContext,
): Promise<Companion & { readonly router: RequestHandler }> {
  const { url, dataFolder, catalog, enlist, log, receipts: desk } = context;
  const aborter = new AbortController();
  const identity = await openKeyFile(join(dataFolder.path, 'keys', 'gateway.key'));
  enlist(identity.id, 'gateway');
  const program = { serverUrl: new URL(url), identity, kind: 'gateway' as const, signal: aborter.signal };
  const { requester, close } = await createNodeRequester(program);
  const models = createGatewayModels(catalog, dataFolder.blobsPath);
  const { publicKey: serverKey } = dataFolder.serverIdentity;
  const giveReceipt = desk && createReceiptGiver({ identity, serverKey, desk, clock, random, log });
  return {
    router: createGateway({ requester, models, giveReceipt, clock, random, log }),
    stop: () => {
      close();
      aborter.abort();
      return Promise.resolve();
    },
  };
}

/** The catalog by name; of several manifests with one name the first counts. */
function createGatewayModels(catalog: ModelCatalog, blobsPath: string): GatewayModels {
  const blobs = createDiskBlobStore(blobsPath);
  const texts = new WeakMap<CatalogEntry, Promise<ModelText>>();
  const createdSeconds = Math.floor(clock.wallMs() / 1000);
  const entryOf = (name: string) => catalog.entries.find(({ manifest }) => manifest.name === name);

  async function textOf(entry: CatalogEntry): Promise<ModelText> {
    const opened = texts.get(entry) ?? loadModelText(entry.manifest, (ref) => blobs.get(ref));
    texts.set(entry, opened);
    opened.catch(() => texts.delete(entry));
    return opened;
  }

  return {
    list: () =>
      [...new Set(catalog.entries.map(({ manifest }) => manifest.name))].map((name) => ({ name, createdSeconds })),
    async open(name) {
      const entry = entryOf(name);
      if (!entry) return null;
      const { manifest, digest } = entry;
      return { name, digest, createdSeconds, manifest, text: await textOf(entry) };
    },
  };
}
