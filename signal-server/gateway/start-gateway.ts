import type { RequestHandler } from 'express';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { systemClock as clock, systemRandom as random } from '../machine/system-clock.ts';
import { createDiskBlobStore } from '../node-peer/disk-blob-store.ts';
import { loadModelText } from '../node-peer/load-model-text.ts';
import { createRequesterPool } from '../node-peer/requester-pool.ts';
import type { CatalogEntry, ModelCatalog } from '../placement/model-catalog.ts';
import type { Companion, CompanionContext } from '../server.ts';
import { createReceiptGiver } from './answer-receipt.ts';
import type { GatewayModel, GatewayModels } from './gateway-models.ts';
import { createGateway } from './gateway.ts';
import type { AnswerDeps } from './run-answer.ts';

/** The gateway in the server's process: a requester like any other, with a fresh key for each answer, behind the OpenAI API. */
export function startGateway(context: CompanionContext): Promise<Companion & { readonly router: RequestHandler }> {
  const { dataFolder, catalog, log, onAnswer } = context;
  const { requesters, giveReceipt, stop } = openAskers(context);
  const models = createGatewayModels(catalog, dataFolder.blobsPath);
  return Promise.resolve({
    router: createGateway({ requesters, models, giveReceipt, onAnswer, clock, random, log }),
    stop: () => {
      stop();
      return Promise.resolve();
    },
  });
}

/** Requesters of the server's own, and receipts for what they ask. Hidden sessions have theirs from here too. */
export function openAskers(context: CompanionContext): AskersOpened {
  const { url, dataFolder, enlist, log, ownToken, mostAnswers, receipts: desk } = context;
  const requesters = createRequesterPool({
    ...{ serverUrl: new URL(url), ownToken, most: mostAnswers },
    enlist: (id) => enlist(id, 'gateway'),
  });
  const { publicKey: serverKey } = dataFolder.serverIdentity;
  return {
    requesters,
    giveReceipt: desk && createReceiptGiver({ serverKey, desk, clock, random, log }),
    stop: () => requesters.stop(),
  };
}

interface AskersOpened extends Pick<AnswerDeps, 'requesters' | 'giveReceipt'> {
  stop(): void;
}

interface OpensByDigest {
  /** Null if there is none. */
  openDigest(digest: Digest): Promise<GatewayModel | null>;
}

/** The catalog by name; of several manifests with one name the first counts. */
export function createGatewayModels(catalog: ModelCatalog, blobsPath: string): GatewayModels & OpensByDigest {
  const blobs = createDiskBlobStore(blobsPath);
  const texts = new WeakMap<CatalogEntry, Promise<ModelText>>();
  const createdSeconds = Math.floor(clock.wallMs() / 1000);
  const entryOf = (name: string) => catalog.entries.find(({ manifest }) => manifest.name === name);

  async function textOf(entry: CatalogEntry): Promise<ModelText> {
    const opened =
      texts.get(entry) ??
      loadModelText(entry.manifest, (ref) => blobs.get(ref)).catch(() => {
        // Files that are gone, or cannot be read now, may be there again for the next request.
        throw new ChorusError('no-coverage', `this server cannot read the tokenizer of ${entry.manifest.name} now`);
      });
    texts.set(entry, opened);
    opened.catch(() => texts.delete(entry));
    return opened;
  }

  async function open(entry: CatalogEntry | undefined): Promise<GatewayModel | null> {
    if (!entry) return null;
    const { manifest, digest } = entry;
    return { name: manifest.name, digest, createdSeconds, manifest, text: await textOf(entry) };
  }

  return {
    list: () =>
      [...new Set(catalog.entries.map(({ manifest }) => manifest.name))].map((name) => ({ name, createdSeconds })),
    open: (name) => open(entryOf(name)),
    openDigest: (digest) => open(catalog.get(digest)),
  };
}
