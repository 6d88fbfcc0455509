import { createHash } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { isIgnoredPath, MAX_SOURCE_FILES, sourceFileSchema, type SourceFile } from '#shared/model/oms.ts';
import { resolveInside } from './model-folder.ts';

const MAX_DEPTH = 16;

/** The marks by which a file that was written to is known. */
type Stamp = Pick<BigIntStats, 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>;

/** All files of a folder, listed and not yet read. */
export interface SourceListing {
  readonly folder: string;
  readonly names: readonly string[];
  readonly hasLinks: boolean;
  readonly stamps: ReadonlyMap<string, Stamp>;
}

/**
 * Lists the files of a folder, those in folders in it too, without the ignored ones. Throws `bad-model` for what is
 * neither file nor folder, a link to a folder or out of this one, a name that no signature can carry, and too many files.
 */
export async function listSourceFiles(folder: string, ignoredPaths: readonly string[]): Promise<SourceListing> {
  const stamps = new Map<string, Stamp>();
  let hasLinks = false;
  const walk = async (inner: string, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH) throw new ChorusError('bad-model', `folders lie more than ${MAX_DEPTH} deep`);
    for (const entry of await readdir(join(folder, inner), { withFileTypes: true })) {
      const name = inner === '' ? entry.name : `${inner}/${entry.name}`;
      if (isIgnoredPath(name, ignoredPaths)) continue;
      if (entry.isDirectory()) {
        await walk(name, depth + 1);
        continue;
      }
      if (!sourceFileSchema.shape.name.safeParse(name).success)
        throw new ChorusError(
          'bad-model',
          `no signature can carry the file name ${JSON.stringify(name.slice(0, 200))}`,
        );
      hasLinks ||= entry.isSymbolicLink();
      stamps.set(name, await stampOf(await resolveInside(folder, name), name));
      if (stamps.size > MAX_SOURCE_FILES)
        throw new ChorusError('bad-model', `the folder has more than ${MAX_SOURCE_FILES} files`);
    }
  };
  await walk('', 0);
  return { folder, names: [...stamps.keys()], hasLinks, stamps };
}

/** Lists one file of a folder, as if it were there alone. Throws as `listSourceFiles`. */
export async function listSourceFile(folder: string, name: string): Promise<SourceListing> {
  if (!sourceFileSchema.shape.name.safeParse(name).success)
    throw new ChorusError('bad-model', `no signature can carry the file name ${JSON.stringify(name.slice(0, 200))}`);
  const stamps = new Map([[name, await stampOf(await resolveInside(folder, name), name)]]);
  return { folder, names: [name], hasLinks: false, stamps };
}

/**
 * The SHA-256 of every listed file. Throws `bad-model` naming a file that was changed since it was listed: its digest
 * would not be that of the bytes that were read meanwhile.
 */
export async function hashSourceFiles(
  { folder, stamps }: SourceListing,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined,
): Promise<SourceFile[]> {
  const totalBytes = Number([...stamps.values()].reduce((sum, { size }) => sum + size, 0n));
  let doneBytes = 0;
  const files: SourceFile[] = [];
  for (const [name, listed] of stamps) {
    const path = await resolveInside(folder, name);
    const hash = createHash('sha256');
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const chunks: AsyncIterable<Buffer> = file.createReadStream({ highWaterMark: 2 ** 20 });
    for await (const chunk of chunks) {
      hash.update(chunk);
      doneBytes += chunk.length;
      if (doneBytes > totalBytes) break;
      onProgress(doneBytes, totalBytes);
    }
    const now = await stampOf(path, name);
    if (!(['ino', 'size', 'mtimeNs', 'ctimeNs'] as const).every((key) => now[key] === listed[key]))
      throw new ChorusError('bad-model', `${name} was changed while it was read`);
    files.push({ name, sha256: hash.digest('hex') as Digest });
  }
  return files;
}

async function stampOf(path: string, name: string): Promise<Stamp> {
  const found = await stat(path, { bigint: true });
  if (found.isFile()) return found;
  throw new ChorusError('bad-model', `${name} is ${found.isDirectory() ? 'a link to a folder' : 'not a file'}`);
}
