import { readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { compareSourceFiles, MAX_OMS_BYTES, OMS_FILE, parseOmsBundle, readOmsContent, type OmsContent } from '#shared/model/oms.ts';
import { locateFolder, readInside } from '../../import/model-folder.ts';
import { ignoredBy, verifyByPem } from '../../import/model-source.ts';
import { hashSourceFiles, listSourceFiles } from '../../import/source-files.ts';

export function defineVerifyModel(command: Command): void {
  command
    .argument('<folder>', 'folder with the model’s files')
    .requiredOption('--key <file>', 'the signer’s public key, PEM')
    .option('--signature <file>', `where the signature is (default: ${OMS_FILE} in the folder)`)
    .action(async (folder: string, options: { key: string; signature?: string }) => {
      const { root, files } = await verifyModel(folder, await readFile(options.key, 'utf8'), options.signature);
      process.stdout.write(`all ${files.length} files are as signed by this key\nroot ${root}\n`);
    });
}

/**
 * The statement of a folder's signature, if it is by this key and all files are as it says. Throws `bad-signature`,
 * `digest-mismatch` naming a file, `bad-model` where the folder cannot be read, or as parseOmsBundle and readOmsContent do.
 */
export async function verifyModel(folder: string, publicKey: string, signatureFile?: string): Promise<OmsContent> {
  const located = await locateFolder(folder);
  const path = resolve(signatureFile ?? join(located, OMS_FILE));
  const bundle = parseOmsBundle(await readInside(dirname(path), basename(path), MAX_OMS_BYTES));
  await verifyByPem(bundle, publicKey);
  const content = readOmsContent(bundle);
  const ignored = ignoredBy(bundle, relative(located, path));
  compareSourceFiles(content.files, await hashSourceFiles(await listSourceFiles(located, ignored)));
  return content;
}
