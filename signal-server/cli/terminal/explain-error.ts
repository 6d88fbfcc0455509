import { ChorusError } from '#shared/errors.ts';
import { UsageError } from './usage-error.ts';

/** What the system says of files and sockets, by its codes. */
const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not do that there',
  EPERM: 'this user may not do that there',
  EROFS: 'it is on a file system that only lets itself be read',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'what should be a folder on the way there is none',
  EISDIR: 'it is a folder, not a file',
  EEXIST: 'something else is there already',
  ELOOP: 'its links lead round in a circle',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk space of this user is used up',
  EMFILE: 'too many files are open',
};

/** Why a file or folder cannot be used, in words; null for an error that is of no file. */
export function explainFileError(error: unknown): string | null {
  if (error instanceof ChorusError || !(error instanceof Error) || !('code' in error)) return null;
  const { code, message } = error;
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return null;
  return SYSTEM_WORDS[code] ?? message;
}

/** The sentence and the exit status that a command fails with: 2 for wrong use, else 1. */
export function explainFailure(error: unknown): { readonly text: string; readonly status: 1 | 2 } {
  if (error instanceof ChorusError) return { text: error.message, status: error instanceof UsageError ? 2 : 1 };
  const reason = explainFileError(error);
  if (reason !== null) {
    const path = error instanceof Error && 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
    return { text: `${path}${reason}`, status: 1 };
  }
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), status: 1 };
}
