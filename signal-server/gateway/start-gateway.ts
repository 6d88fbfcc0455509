import type { RequestHandler } from 'express';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { openModelText } from '#shared/text/model-text.ts';
import { systemClock as clock, systemRandom as random } from '../machine/system-clock.ts';
import { createDiskBlobStore } from '../node-peer/disk-blob-store.ts';
import { readTokenizerFiles } from '../node-peer/load-model-text.ts';
import { createRequesterPool } from '../node-peer/requester-pool.ts';
import type { CatalogEntry, ModelCatalog } from '../placement/model-catalog.ts';
import type { Companion, CompanionContext } from '../server.ts';
import { createReceiptGiver } from './answer-receipt.ts';
import { createEncoderThread, type EncoderThread } from '../encoder/encoder-thread.ts';
import type { GatewayModel, GatewayModels, GatewayText } from './gateway-models.ts';
import { createGateway } from './gateway.ts';
import type { AnswerDeps } from './run-answer.ts';

/** The gateway in the server's process: a requester like any other, with a fresh key for each answer, behind the OpenAI API. */
export function startGateway(context: CompanionContext): Promise<Companion & { readonly router: RequestHandler }> {
  const { catalog, log, onAnswer, mostAnswers, trustProxy } = context;
  const { requesters, giveReceipt, models, stop } = openAskers(context);
  const gateway = createGateway({
    ...{ requesters, models, giveReceipt, onAnswer, clock, random, log, trustProxy },
    limits: { answers: mostAnswers },
  });
  // The first who asks need not wait for the tokenizer of the default model.
  const first = catalog.entries[0]?.digest;
  if (first !== undefined) {
    models.openDigest(first).then(
      (model) => model?.text.encode({ type: 'text', text: 'a', hasMarkers: false }, Infinity).catch(() => undefined),
      (thrown: unknown) => {
        const { code, message } = toChorusError(thrown);
        log.warn({ digest: first, code, reason: message }, 'no text of a model');
      },
    );
  }
  return Promise.resolve({
    router: gateway.router,
    stop: () => {
      gateway.stop();
      stop();
      return Promise.resolve();
    },
  });
}

/** Requesters of the server's own, the models they ask, and receipts for that. Hidden sessions have theirs from here too. */
export function openAskers(context: CompanionContext): AskersOpened {
  const { url, dataFolder, catalog, enlist, log, ownToken, mostAnswers, receipts: desk } = context;
  const requesters = createRequesterPool({
    ...{ serverUrl: new URL(url), ownToken, most: mostAnswers },
    enlist: (id) => enlist(id, 'gateway'),
  });
  const { publicKey: serverKey } = dataFolder.serverIdentity;
  const encoder = createEncoderThread(clock);
  return {
    requesters,
    giveReceipt: desk && createReceiptGiver({ serverKey, desk, clock, random, log }),
    models: createGatewayModels(catalog, dataFolder.blobsPath, encoder),
    stop: () => {
      requesters.stop();
      encoder.stop();
    },
  };
}

interface AskersOpened extends Pick<AnswerDeps, 'requesters' | 'giveReceipt'> {
  readonly models: GatewayModels & OpensByDigest;
  stop(): void;
}

interface OpensByDigest {
  /** Null if there is none. */
  openDigest(digest: Digest): Promise<GatewayModel | null>;
}

/** The catalog by name; of several manifests with one name the first counts. */
export function createGatewayModels(
  catalog: ModelCatalog,
  blobsPath: string,
  encoder: EncoderThread,
): GatewayModels & OpensByDigest {
  const blobs = createDiskBlobStore(blobsPath);
  const texts = new WeakMap<CatalogEntry, Promise<GatewayText>>();
  const createdSeconds = Math.floor(clock.wallMs() / 1000);
  const entryOf = (name: string) => catalog.entries.find(({ manifest }) => manifest.name === name);

  async function openText(model: Digest, manifest: Manifest): Promise<GatewayText> {
    const readFiles = () => readTokenizerFiles(manifest, (ref) => blobs.get(ref));
    const { tokenizer, config } = await readFiles();
    const { decode, createWriter } = openModelText(tokenizer, config);
    return {
      ...{ decode, createWriter },
      encode: (source, most) => encoder.encode({ model, readFiles, source, most }),
      encodePrompt: async (source) => (await encoder.encode({ model, readFiles, source, most: Infinity })).tokens,
    };
  }

  async function textOf(entry: CatalogEntry): Promise<GatewayText> {
    const opened =
      texts.get(entry) ??
      openText(entry.digest, entry.manifest).catch(() => {
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
      catalog.entries
        .filter((entry) => entry === entryOf(entry.manifest.name))
        .map(({ manifest }) => ({ name: manifest.name, createdSeconds, manifest })),
    open: (name) => open(entryOf(name)),
    openDigest: (digest) => open(catalog.get(digest)),
  };
}
