import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

/** Each source file of a tree by its path, with the files that it imports, for their types alone included. */
export type SourceTree = ReadonlyMap<string, readonly string[]>;

/** The folders that a program is made of; tests and scripts are left out. */
export const HOUSES = ['shared', 'signal-server', 'web', 'worker'];
const IMPORT = /(?:\bfrom|\bimport|\bimport\()\s*['"]([^'"]+)['"]/g;

/** Reads the sources below `root` that a program is made of. */
export function readTree(root: string, houses: readonly string[] = HOUSES): SourceTree {
  const paths = houses.flatMap((house) =>
    existsSync(`${root}/${house}`)
      ? readdirSync(`${root}/${house}`, { recursive: true, encoding: 'utf8' }).map((path) => `${house}/${path}`)
      : [],
  );
  const sources = paths.filter((path) => /\.(ts|svelte)$/.test(path)).sort();
  const known = new Set(sources);
  return new Map(
    sources.map((path) => {
      const text = readFileSync(`${root}/${path}`, 'utf8');
      const imports = [...text.matchAll(IMPORT)].map((match) => resolve(path, match[1]!));
      return [path, [...new Set(imports)].filter((imported) => known.has(imported))];
    }),
  );
}

function resolve(from: string, name: string): string {
  if (name.startsWith('#shared/')) return name.slice(1);
  return name.startsWith('.') ? posix.join(posix.dirname(from), name) : name;
}
