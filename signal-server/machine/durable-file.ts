import { randomUUID } from 'node:crypto';
import { access, constants, copyFile, lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';

/**
 * Puts `bytes` under `path` whole or not at all. Their content is on the disk when this returns; that the name is too
 * takes `syncFolder`.
 */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o666): Promise<void> {
  const unfinished = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    const file = await open(unfinished, 'wx', mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Copies a file whose content is then on the disk; what stands under `to` is replaced, and not whole if this is cut off. */
export async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const file = await open(to, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Names that `writeDurably` gives, of the files that a log and its witnesses have. */
const UNFINISHED =
  /^\.(?:checkpoint|\d{1,3}|x\d{3}|[0-9a-f]{64})\.[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Removes what `writeDurably` left in a folder, and those in it, when it was killed. Nobody may be writing there. */
export async function removeUnfinished(folder: string): Promise<void> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const left = found.filter((each) => each.isFile() && UNFINISHED.test(each.name));
  await Promise.all(left.map(({ parentPath, name }) => rm(join(parentPath, name), { force: true })));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Makes a folder so that it is still there after a power cut, the parents that it makes included. Of one that is there
 * the name may not have reached the disk, where whoever made it was killed.
 */
export async function makeFolder(path: string): Promise<void> {
  const missing = await missingFolders(path);
  if (missing.length === 0) await syncFolder(dirname(path)).catch(ignoreUnreadable);
  for (const folder of missing) {
    await mkdir(folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw new ChorusError('internal', `no folder can be made in ${dirname(folder)}`);
      // Another process has made it meanwhile, unless it is no folder.
      if (error.code !== 'EEXIST' || !(await isFolder(folder))) throw error;
    });
  }
  for (const folder of missing.toReversed()) await syncFolder(dirname(folder));
}

/**
 * The folders on the way to `path` that are not there, the outermost first. Node's own way of making them, `recursive`, never
 * comes back where one of them is a link to what is not there, or in a place that takes no folders.
 */
async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let folder = path; !(await isFolder(folder)); folder = dirname(folder)) missing.unshift(folder);
  return missing;
}

/** Throws where something else is there: a file, or a link that leads nowhere. */
async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  });
  if (found?.isDirectory() === true) return true;
  if (found !== null) throw new ChorusError('internal', `${path} is a file, not a folder`);
  const link = await lstat(path).catch(() => null);
  if (link?.isSymbolicLink() === true) throw new ChorusError('internal', `${path} is a link to what is not there`);
  // Another process may have made it meanwhile.
  return link?.isDirectory() === true;
}

/** A parent that may not be read is not ours: the folder was made for us. */
function ignoreUnreadable(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EACCES' && error.code !== 'EPERM') throw error;
}

/** Null where there is no such file. */
export async function readIfThere(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  return readFile(path).then(
    (bytes) => new Uint8Array(bytes),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      // Of a folder, or of a disk that fails, the system does not say which file it was.
      throw Object.assign(error, { path });
    },
  );
}

/** The size of a file; null where there is none, or none that this user may read. */
export async function bytesToRead(path: string): Promise<number | null> {
  try {
    await access(path, constants.R_OK);
    const found = await stat(path);
    return found.isFile() ? found.size : null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'EACCES') return null;
    throw error;
  }
}
