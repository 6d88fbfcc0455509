import { ChorusError } from '#shared/errors.ts';
import { fileFaultOf } from '../../machine/file-fault.ts';

/** What the system says of files that were named, by its codes; the rest are faults of the machine. */
const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'what should be a folder on the way there is none',
  EISDIR: 'it is a folder, not a file',
  EEXIST: 'something else is there already',
};

/** Why a file or folder cannot be used, in words; null for an error that is of no file. */
export function explainFileError(error: unknown): string | null {
  if (error instanceof ChorusError || !(error instanceof Error) || !('code' in error)) return null;
  const { code, message } = error;
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return null;
  return SYSTEM_WORDS[code] ?? fileFaultOf(error)?.what ?? message;
}

/** True for wrong use, and for what the operator has to mend before a command can run. */
export function hasToBeSetRight(error: unknown): error is ChorusError {
  return error instanceof ChorusError && error.details['exitStatus'] === 2;
}

/** The sentence and the exit status that a command fails with: 2 where something has to be set right first, else 1. */
export function explainFailure(error: unknown): { readonly text: string; readonly status: 1 | 2 } {
  if (error instanceof ChorusError) return { text: error.message, status: hasToBeSetRight(error) ? 2 : 1 };
  const reason = explainFileError(error);
  if (reason !== null) {
    const path = error instanceof Error && 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
    return { text: `${path}${reason}`, status: 1 };
  }
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), status: 1 };
}
