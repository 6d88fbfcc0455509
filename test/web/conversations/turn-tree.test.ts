import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { branchesAt, lastBelow, mergeTurns, pathTo, type TreeTurn } from '../../../web/conversations/turn-tree.ts';

const turn = (id: string, parent: string | null): TreeTurn => ({ id, parent });
/** a, then b and its other version c; after b comes d, after c come e and f. */
const TREE = [turn('a', null), turn('b', 'a'), turn('d', 'b'), turn('c', 'a'), turn('e', 'c'), turn('f', 'e')];
const idsOf = (turns: readonly TreeTurn[]): string => turns.map(({ id }) => id).join('');

describe('a tree of turns', () => {
  test('has one way from its first turn to each leaf', () => {
    expect(idsOf(pathTo(TREE, 'd'))).toBe('abd');
    expect(idsOf(pathTo(TREE, 'f'))).toBe('acef');
    expect(pathTo(TREE, null)).toEqual([]);
    expect(pathTo(TREE, 'x')).toEqual([]);
  });

  test('knows what was asked in the same place, and where each branch ends', () => {
    expect(idsOf(branchesAt(TREE, TREE[1]!))).toBe('bc');
    expect(lastBelow(TREE, TREE[1]!).id).toBe('d');
    expect(lastBelow(TREE, TREE[3]!).id).toBe('f');
    expect(lastBelow(TREE, TREE[2]!).id).toBe('d');
  });

  test('loses nothing where two tabs have asked in it', () => {
    const mine = [...TREE.slice(0, 2), turn('m', 'b')];
    expect(idsOf(mergeTurns(mine, TREE))).toBe('abdcefm');
    expect(mergeTurns(mine, TREE)[1]).toBe(mine[1]);
    expect(mergeTurns(mine, [])).toEqual(mine);
  });

  test('has an end to every way, whatever was stored', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd');
    const stored = fc.array(fc.record({ id, parent: fc.option(id) }), { maxLength: 12 });
    fc.assert(
      fc.property(stored, id, (turns, leaf) => {
        const path = pathTo(turns, leaf);
        expect(new Set(path.map((each) => each.id)).size).toBe(path.length);
        for (const each of turns) lastBelow(turns, each);
      }),
    );
  });
});
