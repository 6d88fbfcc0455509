import { expect, test } from 'vitest';
import { explainDamage, explainLost } from '../../../web/words/explain-storage.ts';

test('nothing is said where everything is kept', () => {
  expect(explainLost(new Map())).toBeNull();
});

test.each(['denied', 'silent'] as const)('a storage that is %s keeps nothing, and takes no part in asking', (fault) => {
  const { text } = explainLost(new Map([['files', fault]]))!;
  expect(text).toMatch(/Asking and lending work all the same.*key.*settings.*conversations.*parts of models/);
});

test('a want of room names what is lost, and where room can be made', () => {
  const { title, text } = explainLost(
    new Map([
      ['key', 'full'],
      ['files', 'full'],
    ]),
  )!;
  expect(title).toContain('no more room');
  expect(text).toContain('the key of this tab and downloaded parts of models will not outlast this tab');
  expect(text).toContain('Volunteer view');
});

test.each([
  [1, /^1 part of a model .* was damaged or lost\. It was downloaded again/],
  [3, /^3 parts of a model .* were damaged or lost\. They were downloaded again/],
])('%i damaged pieces are told', (pieces, told) => {
  expect(explainDamage(pieces)).toMatch(told);
});
