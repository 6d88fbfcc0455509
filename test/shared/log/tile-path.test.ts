import { expect, it } from 'vitest';
import { parseTilePath } from '#shared/log/tile-path.ts';

it.each([0, 1, 63])('a tile of level %i has a path', (level) => {
  expect(parseTilePath(`tile/${level}/x001/234`)).toEqual({ level, index: 1234, width: 256 });
});

it.each([64, 65, 99])('there is no tile of level %i', (level) => {
  expect(parseTilePath(`tile/${level}/000`)).toBeNull();
});

it('entries have no level', () => {
  expect(parseTilePath('tile/entries/000.p/5')).toEqual({ level: 'entries', index: 0, width: 5 });
});
