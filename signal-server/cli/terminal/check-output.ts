import { access, constants, open, realpath, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { explainFileError } from './explain-error.ts';
import { UsageError } from './usage-error.ts';

/** Sees before any work is spent that a file can be written; leaves none behind that was not there. Throws UsageError that names `option`. */
export async function checkOutput(option: string, file: string): Promise<void> {
  const path = resolve(file);
  try {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found?.isDirectory()) throw new UsageError(`${option} ${file}: it is a folder. Name a file`);
    if (found !== null) return await access(path, constants.W_OK);
    await (await open(path, 'a')).close();
    // A link to a file that was not there stays.
    await rm(await realpath(path));
  } catch (error) {
    const reason = explainFileError(error);
    if (reason === null) throw error;
    throw new UsageError(`${option} ${file} cannot be written: ${reason}. Name a file in a folder that is there`);
  }
}
