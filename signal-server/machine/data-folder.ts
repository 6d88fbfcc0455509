import { access, chmod, constants, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { toHex } from '#shared/bytes.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { Digest } from '#shared/ids.ts';
import { bytesToRead, makeFolder } from './durable-file.ts';
import { openKeyFile } from './key-file.ts';
import { sweepDrafts } from './sweep-drafts.ts';
import { systemRandom } from './system-clock.ts';
import { demandServerKey } from './used-folder.ts';

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
  /** Of the file of a blob, whole or not; null where there is none that this user may read. */
  blobBytes(digest: Digest): Promise<number | null>;
  /** Puts a signed manifest there whole or not at all. */
  writeModel(digest: Digest, envelope: Envelope): Promise<void>;
}

/** Other users of the machine have no business in it: keys, receipts and history lie there. */
async function closeToOthers(path: string): Promise<void> {
  const { mode } = await stat(path);
  // Of a folder that is another user's, and that this one may write to, the rights are not ours to change.
  if ((mode & 0o077) !== 0) await chmod(path, 0o700).catch(ignoreForeign);
}

function ignoreForeign(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPERM') throw error;
}

export interface DataFolderOptions {
  /** True to make a new `server.key` in a folder that was in use and has lost its own. */
  readonly newServerKey?: boolean;
}

/**
 * Opens the folder, makes what is missing and removes drafts that were left behind. Throws `internal`, for the operator,
 * where its key is damaged, or lost.
 */
export async function openDataFolder(folder: string, { newServerKey }: DataFolderOptions = {}): Promise<DataFolder> {
  const path = resolve(folder);
  if (newServerKey !== true) await demandServerKey(path);
  await makeFolder(path);
  await access(path, constants.W_OK);
  await closeToOthers(path);
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
    blobBytes: (digest) => bytesToRead(join(blobsPath, digest)),
    async writeModel(digest, envelope) {
      const unfinished = join(modelsPath, `.${toHex(systemRandom(8))}.part`);
      try {
        await writeFile(unfinished, JSON.stringify(envelope), { flush: true });
        await rename(unfinished, join(modelsPath, `${digest}.json`));
      } catch (error) {
        await rm(unfinished, { force: true });
        throw error;
      }
    },
  };
}
