import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { toHex } from '#shared/bytes.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { Digest } from '#shared/ids.ts';
import { makeFolder } from './durable-file.ts';
import { openKeyFile } from './key-file.ts';
import { sweepDrafts } from './sweep-drafts.ts';
import { systemRandom } from './system-clock.ts';

/**
 * All state of a server:
 *
 *   server.key              Ed25519, PKCS#8 PEM, mode 0600
 *   models/<digest>.json    signed manifests; the digest is that of the manifest's bytes
 *   blobs/<digest>          weights, graphs, tokenizers
 *   keys/                   keys of the anchors
 *   log.key, log/           the transparency log
 *   witnesses/              what witnesses have cosigned of it
 *   and what the store keeps: history, trust, receipts; locked while a server runs
 */
export interface DataFolder {
  readonly path: string;
  readonly blobsPath: string;
  readonly serverIdentity: Identity;
  /** Digests of the manifests that are there, the oldest first. */
  listModels(): Promise<Digest[]>;
  /** The file's text as it lies there, unchecked. */
  readModel(digest: Digest): Promise<string>;
  /** Puts a signed manifest there whole or not at all. */
  writeModel(digest: Digest, envelope: Envelope): Promise<void>;
}

/** Opens the folder, makes what is missing and removes drafts that were left behind. */
export async function openDataFolder(folder: string): Promise<DataFolder> {
  const path = resolve(folder);
  const modelsPath = join(path, 'models');
  const blobsPath = join(path, 'blobs');
  await Promise.all([modelsPath, blobsPath].map((created) => makeFolder(created)));
  await Promise.all([modelsPath, blobsPath].map(sweepDrafts));
  return {
    path,
    blobsPath,
    serverIdentity: await openKeyFile(join(path, 'server.key')),
    async listModels() {
      const names = (await readdir(modelsPath)).filter((name) => /^[0-9a-f]{64}\.json$/.test(name));
      const times = await Promise.all(names.map(async (name) => (await stat(join(modelsPath, name))).mtimeMs));
      const order = names.map((name, i) => ({ digest: name.slice(0, 64) as Digest, timeMs: times[i]! }));
      return order.sort((a, b) => a.timeMs - b.timeMs).map(({ digest }) => digest);
    },
    readModel: (digest) => readFile(join(modelsPath, `${digest}.json`), 'utf8'),
    async writeModel(digest, envelope) {
      const unfinished = join(modelsPath, `.${toHex(systemRandom(8))}.part`);
      await writeFile(unfinished, JSON.stringify(envelope), { flush: true });
      await rename(unfinished, join(modelsPath, `${digest}.json`));
    },
  };
}
