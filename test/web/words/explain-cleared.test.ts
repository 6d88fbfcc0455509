import { expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { explainCleared } from '../../../web/words/explain-cleared.ts';

it.each([
  [4_000_000, 0, 'Cleared 4.0 MB.'],
  [1_000_000, 4_000_000, 'Cleared 1.0 MB. The rest is in use now.'],
  [0, 4_000_000, 'All of it is in use now.'],
  [0, 0, 'There was nothing to clear.'],
])('%i bytes cleared and %i left are told as: %s', (removedBytes, leftBytes, text) => {
  expect(explainCleared({ removedBytes, leftBytes })).toBe(text);
});

it('a failure is told in its own words, as a sentence', () => {
  expect(explainCleared(new ChorusError('unsupported', 'no store'))).toBe('No store.');
});
