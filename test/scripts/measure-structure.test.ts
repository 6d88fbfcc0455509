import { describe, expect, it } from 'vitest';
import {
  againstOrder,
  circles,
  folderSizes,
  formatMeasures,
  isMissed,
  looseFiles,
  measure,
  mutualFolders,
} from '../../scripts/measure-structure.ts';
import { readTree, type SourceTree } from '../../scripts/source-tree.ts';

const floors = { shared: [['low', 'beside'], ['high']], 'shared/high': [['cellar'], ['roof']] };

function treeOf(imports: Readonly<Record<string, readonly string[]>>): SourceTree {
  return new Map(Object.entries(imports));
}

function found(tree: SourceTree, name: string): number | undefined {
  return measure(tree, floors).find((each) => each.name.startsWith(name))?.count;
}

describe('two folders', () => {
  const oneWay = { 'shared/low/a.ts': [], 'shared/high/b.ts': ['shared/low/a.ts'], 'shared/high/c.ts': [] };

  it('are no pair where only one imports from the other', () => {
    expect(mutualFolders(treeOf(oneWay), 'shared')).toEqual([]);
  });

  it('are a pair where other files of them import back', () => {
    const tree = treeOf({ ...oneWay, 'shared/low/d.ts': ['shared/high/c.ts'] });
    expect(mutualFolders(tree, 'shared')).toEqual(['shared/high <-> shared/low']);
    expect(mutualFolders(tree, 'web')).toEqual([]);
    expect(circles(tree)).toEqual([]);
  });
});

describe('the order of floors', () => {
  it('lets a room import from lower floors, from its own files and from what lies loose', () => {
    const imports = ['shared/low/a.ts', 'shared/high/c.ts', 'shared/words.ts'];
    expect(againstOrder(treeOf({ 'shared/high/b.ts': imports }), floors)).toEqual([]);
  });

  it.each([
    ['a higher floor', 'shared/low/a.ts', 'shared/high/b.ts'],
    ['a room of the same floor', 'shared/low/a.ts', 'shared/beside/b.ts'],
    ['any room, from what lies loose', 'shared/words.ts', 'shared/low/a.ts'],
    ['a room that has no floor', 'shared/high/a.ts', 'shared/unknown/b.ts'],
    ['a higher floor within a room', 'shared/high/cellar/a.ts', 'shared/high/roof/b.ts'],
  ])('is broken by an import from %s', (_, from, to) => {
    expect(againstOrder(treeOf({ [from]: [to] }), floors)).toEqual([`${from} -> ${to}`]);
  });
});

describe('a circle', () => {
  it('is found once, however many files are in it, and without those that only lead to it', () => {
    const tree = treeOf({ 'a.ts': ['b.ts'], 'b.ts': ['c.ts'], 'c.ts': ['a.ts'], 'd.ts': ['a.ts'], 'e.ts': [] });
    expect(circles(tree)).toEqual(['a.ts, b.ts, c.ts']);
  });

  it('may be of one file, which imports itself', () => {
    expect(circles(treeOf({ 'a.ts': ['a.ts'] }))).toEqual(['a.ts']);
  });
});

describe('files', () => {
  const tree = treeOf({ 'web/App.svelte': [], 'web/main.ts': [], 'web/words/a.ts': [], 'webs/b.ts': [] });

  it('are loose directly in a house, but for those that are meant to be', () => {
    expect(looseFiles(tree, 'web')).toEqual(['web/App.svelte', 'web/main.ts']);
    expect(looseFiles(tree, 'web', ['main.ts'])).toEqual(['web/App.svelte']);
  });

  it('are counted folder by folder, the fullest first', () => {
    expect(folderSizes(tree)[0]).toEqual(['web', 2]);
  });
});

describe('the table', () => {
  it('misses an aim by one more than is allowed', () => {
    const aim = { name: 'loose files', count: 5, aim: 5, found: [] };
    expect([isMissed(aim), isMissed({ ...aim, count: 6 })]).toEqual([false, true]);
  });

  it('counts a folder of more than 20 files, and a circle of types as one', () => {
    const names = Array.from({ length: 21 }, (_, i) => [`shared/low/${i}.ts`, [] as string[]]);
    const tree = treeOf({
      ...(Object.fromEntries(names) as Record<string, string[]>),
      'shared/low/0.ts': ['shared/low/1.ts'],
      'shared/low/1.ts': ['shared/low/0.ts'],
    });
    expect(found(tree, 'files in the largest folder')).toBe(21);
    expect(found(tree, 'circles')).toBe(1);
    expect(measure(tree, floors).filter(isMissed)).toHaveLength(2);
  });

  it('has a row for each measure, in Markdown', () => {
    const rows = formatMeasures([{ name: 'circles', count: 1, aim: 0, found: [] }]);
    expect(rows.split('\n').at(-1)).toBe('| circles | 1 | 0 |');
  });
});

it('reads the imports of a real tree: of values, of types and on demand, by each way of writing them', () => {
  const tree = readTree('.');
  expect(tree.get('shared/crypto/envelope.ts')).toEqual([]);
  expect(tree.get('shared/crypto/identity.ts')).toContain('shared/ids.ts');
  expect(tree.get('worker/main.ts')).toContain('shared/wire/worker-message.ts');
  expect(tree.get('web/main.ts')).toEqual(expect.arrayContaining(['web/App.svelte', 'web/network/join.ts']));
});
