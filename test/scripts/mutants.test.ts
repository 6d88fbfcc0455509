import { describe, expect, it } from 'vitest';
import { draw } from '../../scripts/mutants/draw.ts';
import { locate } from '../../scripts/mutants/locate.ts';
import type { Kind } from '../../scripts/mutants/mutant.ts';
import { mutate, placesIn, replacementFor } from '../../scripts/mutants/mutations.ts';
import type { Source } from '../../scripts/mutants/sources.ts';

const text = `
import { limit } from './limits.ts';
type Name = 'first' | 'second';

/** Never 'a' > b. */
export function take(count: number, names: readonly Name[]): number {
  if (count < limit && !names.includes('first')) return 0;
  tell(count);
  return count + 1;
}
`;

function sourceOf(file: string, content: string): Source {
  return { file, text: content, places: placesIn(file, content) };
}

/** The statements of the text that are other ones in a mutant of this kind. */
function changed(kind: Kind): string[] {
  return placesIn('take.ts', text)
    .filter(({ mutant }) => mutant.kind === kind)
    .map((place) => {
      const lines = mutate(text, place, replacementFor(text, place)).split('\n');
      return lines[place.line - 1]!.trim();
    });
}

describe('a mutant', () => {
  it('is one small fault in what runs, and none in types, imports and comments', () => {
    expect(changed('boundary')).toEqual([`if (count <= limit && !names.includes('first')) return 0;`]);
    expect(changed('logic')).toEqual([`if (count < limit || !names.includes('first')) return 0;`]);
    expect(changed('negation')).toEqual([
      `if (!(count < limit && !names.includes('first'))) return 0;`,
      `if (count < limit && names.includes('first')) return 0;`,
    ]);
    expect(changed('string')).toEqual([`if (count < limit && !names.includes('')) return 0;`]);
    expect(changed('removal')).toEqual([`if (count < limit && !names.includes('first')) ;`, ';']);
    expect(changed('arithmetic')).toEqual(['return count - 1;']);
    expect(changed('number')).toEqual([
      `if (count < limit && !names.includes('first')) return 1;`,
      'return count + 0;',
    ]);
  });

  it('is the same for the same seed, and no two are alike', () => {
    const sources = [sourceOf('take.ts', text)];
    const drawn = draw(sources, 8, 1);
    expect(drawn).toEqual(draw(sources, 8, 1));
    expect(drawn).not.toEqual(draw(sources, 8, 2));
    expect(new Set(drawn.map((mutant) => JSON.stringify(mutant))).size).toBe(8);
  });

  it('is found where its code has gone: another file, another place in it, lines broken otherwise', () => {
    const drawn = draw([sourceOf('take.ts', text)], 8, 1);
    const moved = text
      .replace('  tell(count);', '  const told = 1;\n  tell(\n    count,\n  );')
      .replace('export function take', 'export function give(): void {}\n\nexport function take');
    const found = locate(
      drawn,
      [sourceOf('give.ts', 'export const limit = 3;'), sourceOf('room/take.ts', moved)],
      new Map(),
    );
    expect(found.map((each) => each?.place.mutant.file)).toEqual(drawn.map(() => 'room/take.ts'));
    expect(found.map((each) => each?.place.mutant.expression)).toEqual(drawn.map(({ expression }) => expression));
  });

  it('is lost where its code was rewritten, though the like of it stands elsewhere', () => {
    const [mutant] = placesIn('take.ts', text)
      .map((place) => place.mutant)
      .filter(({ kind }) => kind === 'arithmetic');
    const other = text.replace('count + 1', 'next(count)').replace('take', 'give');
    const like = 'export function sum(all: number): number {\n  return all + 1;\n}';
    expect(locate([mutant!], [sourceOf('take.ts', other), sourceOf('sum.ts', like)], new Map())).toEqual([null]);
  });
});
