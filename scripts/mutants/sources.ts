import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { placesIn } from './mutations.ts';
import type { Place } from './mutant.ts';

const folders = ['shared', 'signal-server'];

/** One production file as it is now. */
export interface Source {
  readonly file: string;
  readonly text: string;
  readonly places: readonly Place[];
}

/** Every production file of `shared` and `signal-server`, by name. */
export function readSources(root: string): Source[] {
  return git(root, 'ls-files', ...folders)
    .split('\n')
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return { file, text, places: placesIn(file, text) };
    });
}

export function commitOf(root: string): string {
  return git(root, 'rev-parse', 'HEAD').trim();
}

/** Files of `shared` and `signal-server` that differ from the commit. */
export function changedSources(root: string): string[] {
  return git(root, 'status', '--porcelain', '--', ...folders)
    .split('\n')
    .filter((line) => line !== '');
}

/** New names of the files that were moved since `commit`. */
export function movesSince(root: string, commit: string): Map<string, string> {
  const lines = git(root, 'diff', '--name-status', '--find-renames=30%', '-l0', commit, 'HEAD').split('\n');
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const [status = '', from = '', to = ''] = line.split('\t');
      return status.startsWith('R') ? [[from, to]] : [];
    }),
  );
}

function git(root: string, ...args: string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 });
}
