import { basename, dirname } from 'node:path';
import { ChorusError } from '#shared/errors.ts';

/** What is wrong with a file or the disk below it, in words for people. */
export interface FileFault {
  readonly what: string;
  /** What the operator can do. */
  readonly advice: string;
}

const FULL: FileFault = { what: 'the disk is full', advice: 'Make room' };
const FAULTS: readonly (readonly [RegExp, FileFault])[] = [
  [/^(?:ENOSPC|SQLITE_FULL)/, FULL],
  [/^EDQUOT/, { what: "this user's share of the disk is used up", advice: 'Make room, or raise the quota' }],
  [/^(?:EMFILE|ENFILE)/, { what: 'too many files are open', advice: 'Raise the limit of open files (ulimit -n)' }],
  [/^(?:EROFS|SQLITE_READONLY)/, { what: 'it may only be read', advice: 'Mount the folder so that it can be written' }],
  [/^(?:EACCES|EPERM)/, { what: 'this user may not use it', advice: 'Give it to the user that runs the server' }],
  [/^SQLITE_CANTOPEN/, { what: 'it cannot be opened', advice: 'See that this user may write there' }],
  [
    /^SQLITE_(?:CORRUPT|NOTADB)/,
    { what: 'it is damaged', advice: 'Put a copy of the data folder back (docs/operating.md, "A bad day")' },
  ],
  [/^(?:EIO|SQLITE_IOERR)/, { what: 'the disk fails', advice: 'Look at the disk, and at what the system says of it' }],
  [/^(?:EISDIR|ENOTDIR|ELOOP)/, { what: 'something else lies there', advice: 'Move it away' }],
  [/^ENAMETOOLONG/, { what: 'its name is too long', advice: 'Choose a shorter --data' }],
];

/** As all drafts of files here are called. */
const DRAFT_NAME = /\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16})(?:\.part)?$/;

/** Null where it is no fault of a file or a disk. */
export function fileFaultOf(thrown: unknown): FileFault | null {
  const code = codeOf(thrown);
  return FAULTS.find(([codes]) => codes.test(code))?.[1] ?? null;
}

/** A fault of `path` as a sentence that ends a program; what is none stays as it is. */
export function explainFileFault(thrown: unknown, path: string): unknown {
  const cause = thrown instanceof ChorusError ? thrown.details['cause'] : thrown;
  const fault = fileFaultOf(cause);
  if (fault === null) return thrown;
  const place = placeOf(cause) ?? path;
  return setupError(`${place} cannot be used: ${fault.what} (${reasonOf(cause)}). ${fault.advice}, then start again.`);
}

/** The file that a person knows: a draft stands for what it would have become, or for its folder. */
function placeOf(cause: unknown): string | null {
  if (!(cause instanceof Error)) return null;
  if ('dest' in cause) return String(cause.dest);
  if (!('path' in cause)) return null;
  const path = String(cause.path);
  return DRAFT_NAME.test(basename(path)) ? dirname(path) : path;
}

/** The system's own reason, on one line. */
export function reasonOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = codeOf(thrown);
  return (message.startsWith(code) ? message : `${code}: ${message}`).replace(/\s+/g, ' ').slice(0, 300);
}

/** What keeps a program from starting, for the operator to mend: it ends with status 2. */
export function setupError(message: string): ChorusError {
  return new ChorusError('internal', message, { exitStatus: 2 });
}

function codeOf(thrown: unknown): string {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : '';
  return typeof code === 'string' ? code : '';
}
