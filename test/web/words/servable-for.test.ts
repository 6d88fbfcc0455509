import { expect, test } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { isServableFor } from '../../../web/words/servable-for.ts';

const own = 'a'.repeat(64) as PeerId;
const digest = 'b'.repeat(64) as Digest;
const model = (embedding: number, layers: number[], head: number, servable = true) => ({
  digest,
  servable,
  coverage: { embedding, layers, head },
});
const lent = (state: 'ready' | 'loading', of = digest) => ({
  id: own,
  state,
  model: of,
  range: { start: 1, end: 2, embedding: false, head: true },
});

test.each([
  ['what others hold serves everybody', model(1, [1, 1], 1), [], true],
  ['what the server cannot route serves nobody', model(1, [1, 1], 1, false), [], false],
  ['what only this tab holds serves not this tab', model(1, [1, 1], 1), [lent('ready')], false],
  ['a layer that others hold too serves it', model(1, [1, 2], 2), [lent('ready')], true],
  ['a tab that is not ready is not counted', model(1, [1, 1], 1), [lent('loading')], true],
  ['nor is one that holds another model', model(1, [1, 1], 1), [lent('ready', 'c'.repeat(64) as Digest)], true],
])('%s', (_title, given, volunteers, servable) => {
  expect(isServableFor(given, volunteers, own)).toBe(servable);
});
