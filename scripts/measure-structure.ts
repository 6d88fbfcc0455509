import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { readTree, type SourceTree } from './source-tree.ts';

/** The rooms of a house, floor by floor from the lowest: a room imports from those on floors below its own. */
export type Floors = Readonly<Record<string, readonly (readonly string[])[]>>;

/** One row of the table: what was found, and how many of it are allowed. */
export interface Measure {
  readonly name: string;
  readonly count: number;
  readonly aim: number;
  /** The offenders by name, for the one who has to mend them. */
  readonly found: readonly string[];
}

const LARGEST_FOLDER = 20;
const LOOSE_FILES = 5;
/** The lowest floor of `shared` lies loose: words that every room uses. */
const SHARED_WORDS = [
  ...['ask.ts', 'backoff.ts', 'bytes.ts', 'clock.ts', 'errors.ts', 'form-words.ts', 'globals.d.ts'],
  ...['ids.ts', 'limits.ts', 'listeners.ts'],
];

/** Pairs of folders below `house` that import from each other, as `a <-> b`. */
export function mutualFolders(tree: SourceTree, house: string): string[] {
  const arrows = new Set<string>();
  for (const [path, imports] of filesOf(tree, house)) {
    for (const imported of imports) arrows.add(`${posix.dirname(path)} ${posix.dirname(imported)}`);
  }
  const pairs = [...arrows].map((arrow) => arrow.split(' ') as [string, string]);
  return pairs.filter(([a, b]) => a < b && arrows.has(`${b} ${a}`)).map(([a, b]) => `${a} <-> ${b}`);
}

/** Imports within a house of floors that do not lead down, as `file -> file`. */
export function againstOrder(tree: SourceTree, floors: Floors): string[] {
  return Object.entries(floors).flatMap(([house, order]) => {
    const levels = new Map(order.flatMap((rooms, level) => rooms.map((room) => [room, level] as const)));
    const roomOf = (path: string): string | null =>
      path.startsWith(`${house}/`) ? (path.slice(house.length + 1).match(/^([^/]+)\//)?.[1] ?? '') : null;
    return [...tree].flatMap(([path, imports]) => {
      const room = roomOf(path);
      if (room === null) return [];
      // Loose files lie below all rooms, and a room without a floor above them.
      const level = room === '' ? -1 : (levels.get(room) ?? Infinity);
      const isUp = (imported: string): boolean => {
        const other = roomOf(imported);
        return other !== null && other !== '' && other !== room && (levels.get(other) ?? Infinity) >= level;
      };
      return imports.filter(isUp).map((imported) => `${path} -> ${imported}`);
    });
  });
}

/** Groups of files that all lead to each other by imports, as `file, file, …`. */
export function circles(tree: SourceTree): string[] {
  const reached = new Map([...tree.keys()].map((path) => [path, reachableFrom(tree, path)]));
  const seen = new Set<string>();
  const found: string[] = [];
  for (const [path, others] of reached) {
    if (seen.has(path) || !others.has(path)) continue;
    const circle = [...others].filter((other) => reached.get(other)?.has(path));
    for (const each of circle) seen.add(each);
    found.push(circle.sort().join(', '));
  }
  return found;
}

function reachableFrom(tree: SourceTree, start: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [start];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    for (const imported of tree.get(path) ?? []) {
      if (reached.has(imported)) continue;
      reached.add(imported);
      open.push(imported);
    }
  }
  return reached;
}

/** How many files lie directly in each folder, as [folder, count], the fullest first. */
export function folderSizes(tree: SourceTree): (readonly [string, number])[] {
  const sizes = new Map<string, number>();
  for (const path of tree.keys()) sizes.set(posix.dirname(path), (sizes.get(posix.dirname(path)) ?? 0) + 1);
  return [...sizes].sort(([, a], [, b]) => b - a);
}

/** Files that lie directly in `house`, but for those that are meant to. */
export function looseFiles(tree: SourceTree, house: string, meant: readonly string[] = []): string[] {
  const isLoose = (path: string): boolean => posix.dirname(path) === house && !meant.includes(posix.basename(path));
  return [...tree.keys()].filter(isLoose);
}

/** The table of aims, as this tree keeps them. */
export function measure(tree: SourceTree, floors: Floors): Measure[] {
  const listed = (name: string, aim: number, found: readonly string[]): Measure => ({
    name,
    count: found.length,
    aim,
    found,
  });
  const sizes = folderSizes(tree);
  const [folder = 'no folder', largest = 0] = sizes[0] ?? [];
  const tooLarge = sizes.filter(([, size]) => size > LARGEST_FOLDER).map(([path, size]) => `${path}: ${size} files`);
  return [
    listed('folder pairs in shared that import each other', 0, mutualFolders(tree, 'shared')),
    listed('folder pairs in signal-server that import each other', 0, mutualFolders(tree, 'signal-server')),
    listed('folder pairs in web that import each other', 0, mutualFolders(tree, 'web')),
    listed('imports against the order of floors', 0, againstOrder(tree, floors)),
    listed('circles of imports between files', 0, circles(tree)),
    { name: `files in the largest folder (${folder})`, count: largest, aim: LARGEST_FOLDER, found: tooLarge },
    listed('loose files in shared besides its words', 0, looseFiles(tree, 'shared', SHARED_WORDS)),
    listed('loose files in signal-server', LOOSE_FILES, looseFiles(tree, 'signal-server')),
    listed('loose files in web', LOOSE_FILES, looseFiles(tree, 'web')),
  ];
}

/** True where more was found than is allowed. */
export function isMissed({ count, aim }: Measure): boolean {
  return count > aim;
}

/** The measures as a table in Markdown. */
export function formatMeasures(measures: readonly Measure[]): string {
  const rows = measures.map(({ name, count, aim }) => `| ${name} | ${count} | ${aim} |`);
  return ['| measure | now | at most |', '| --- | --- | --- |', ...rows].join('\n');
}

function filesOf(tree: SourceTree, house: string): (readonly [string, readonly string[]])[] {
  return [...tree].filter(([path]) => path.startsWith(`${house}/`));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = process.argv[2] ?? '.';
  const floors = JSON.parse(readFileSync(new URL('floors.json', import.meta.url), 'utf8')) as Floors;
  const measures = measure(readTree(root), floors);
  console.log(formatMeasures(measures));
  for (const missed of measures.filter(isMissed)) {
    console.error(`\n${missed.name}: ${missed.count}, at most ${missed.aim} are allowed`);
    for (const each of missed.found) console.error(`  ${each}`);
    process.exitCode = 1;
  }
}
