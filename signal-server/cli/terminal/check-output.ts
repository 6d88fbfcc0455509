import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { explainFileError } from './explain-error.ts';
import { UsageError } from './usage-error.ts';

/** Sees before any work is spent that a file can be written, as far as that can be told. Throws UsageError that names `option`. */
export async function checkOutput(option: string, file: string): Promise<void> {
  const path = resolve(file);
  try {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found?.isDirectory()) throw new UsageError(`${option} ${file}: it is a folder. Name a file`);
    await access(found === null ? dirname(path) : path, constants.W_OK);
  } catch (error) {
    const reason = explainFileError(error);
    if (reason === null) throw error;
    throw new UsageError(`${option} ${file} cannot be written: ${reason}. Name a file in a folder that is there`);
  }
}
