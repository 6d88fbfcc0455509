import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { HOUSES } from '../../scripts/source-tree.ts';

const architecture = readFileSync('docs/architecture.md', 'utf8');

/** The folders in a house, at any depth, as `room/` and `room/inner/`. */
function foldersIn(house: string): string[] {
  const paths = readdirSync(house, { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => statSync(`${house}/${path}`).isDirectory()).map((path) => `${path}/`);
}

/** The rooms in the first column of the table under a house's heading. */
function roomsNamed(house: string): string[] {
  const [, section = ''] = architecture.split(`### Inside \`${house}/\`\n`);
  const [own] = section.split(/^##/m);
  return [...own!.matchAll(/^\| `([^`]+\/)` +\|/gm)].map((match) => match[1]!);
}

describe('docs/architecture.md', () => {
  it.each(HOUSES)('has a row for every folder in %s, and for no other', (house) => {
    expect(roomsNamed(house).sort()).toEqual(foldersIn(house).sort());
  });

  it.each(HOUSES)('has %s among its folders', (house) => {
    expect(architecture).toContain(`| \`${house}/\``);
  });
});

const pages = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
);

it.each(pages)('%s names only files and folders that are there', (page) => {
  const named = readFileSync(page, 'utf8').matchAll(
    /`((?:shared|signal-server|web|worker|test|scripts|models)\/[\w./-]+)`/g,
  );
  const paths = [...new Set([...named].map((match) => match[1]!))];
  expect(paths.filter((path) => !existsSync(path))).toEqual([]);
});
