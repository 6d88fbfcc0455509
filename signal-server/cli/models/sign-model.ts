import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Identity } from '#shared/crypto/identity.ts';
import { publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_OMS_BYTES, OMS_FILE, omsRoot, parseOmsBundle, sortSourceFiles } from '#shared/model/oms.ts';
import { locateFolder, readInsideIfThere } from '../../import/model-folder.ts';
import { IGNORED_PATHS, keyIfHinted, signFiles } from '../../import/model-source.ts';
import { hashSourceFiles, listSourceFiles } from '../../import/source-files.ts';
import { openKeyFile } from '../../machine/key-file.ts';
import { demandServerKey } from '../../machine/used-folder.ts';

export function defineSignModel(command: Command): void {
  command
    .argument('<folder>', 'folder with the model’s files')
    .option('--key <file>', 'Ed25519 key, PKCS#8 PEM, made if missing (default: the server’s)')
    .option('--data <folder>', 'data folder of the server', 'data')
    .option('--out <file>', `where the signature goes (default: ${OMS_FILE} in the folder)`)
    .action(async (folder: string, options: { key?: string; data: string; out?: string }) => {
      if (options.key === undefined) await demandServerKey(options.data);
      const signer = await openKeyFile(options.key ?? join(options.data, 'server.key'));
      const { root, files, path } = await signModel(folder, signer, options.out);
      process.stdout.write(describe(root, files, path, signer));
    });
}

/**
 * Writes a signature over all files of a folder, whole or not at all. Throws `bad-model` where the folder cannot be
 * signed, or has a signature by somebody else that would be lost.
 */
export async function signModel(
  folder: string,
  signer: Identity,
  out?: string,
): Promise<{ root: Digest; files: number; path: string }> {
  const located = await locateFolder(folder);
  const path = resolve(out ?? join(located, OMS_FILE));
  await refuseLoss(path, signer);
  const inFolder = relative(located, path).replaceAll('\\', '/');
  const ignoredPaths = [...new Set([...IGNORED_PATHS, ...(inFolder.startsWith('../../') ? [] : [inFolder])])];
  const listing = await listSourceFiles(located, ignoredPaths);
  if (listing.names.length === 0) throw new ChorusError('bad-model', `there is no file in ${folder}`);
  const files = sortSourceFiles(await hashSourceFiles(listing));
  const bundle = await signFiles(listing, files, ignoredPaths, signer);
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeFile(unfinished, `${JSON.stringify(bundle)}\n`, { flag: 'wx', flush: true });
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  return { root: omsRoot(files), files: files.length, path };
}

async function refuseLoss(path: string, signer: Identity): Promise<void> {
  const present = await readInsideIfThere(dirname(path), relative(dirname(path), path), MAX_OMS_BYTES);
  if (present === null || keyIfHinted(parseOmsBundle(present), publicKeyPem(signer.publicKey)) !== null) return;
  throw new ChorusError(
    'bad-model',
    `${path} is a signature by another key: remove it, or name another file with --out`,
  );
}

function describe(root: Digest, files: number, path: string, { publicKey }: Identity): string {
  return [
    `signed ${files} files`,
    `root ${root}`,
    `signature ${path}`,
    '',
    'Give others this public key, and they can check with: chorus verify-model FOLDER --key FILE',
    publicKeyPem(publicKey),
  ].join('\n');
}
