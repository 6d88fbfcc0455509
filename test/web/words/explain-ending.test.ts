import { expect, test } from 'vitest';
import { explainEnding } from '../../../web/words/explain-ending.ts';

const done = { phase: 'done', text: 'Once', tokens: 12, promptTokens: 500 } as const;

test.for([
  ['stop', null],
  ['length', 'Cut off at the longest length set.'],
  ['context', 'Cut off: question and answer together fill what the model can read, all 512 tokens of it.'],
  ['cancelled', 'Stopped.'],
  ['interrupted', 'The page was left while this was being written. This is what had come by then.'],
] as const)('an answer that ended by %s says why it is not longer', ([endReason, words]) => {
  expect(explainEnding({ ...done, endReason })).toBe(words);
});

test.for([
  ['stop', 'The model had nothing to say.'],
  ['cancelled', 'Stopped before the first word.'],
  ['interrupted', 'The page was left before the first word came.'],
] as const)('one without a word that ended by %s says so', ([endReason, words]) => {
  expect(explainEnding({ ...done, text: '', endReason })).toBe(words);
});

test('one that is being made has no end', () => {
  expect(explainEnding({ ...done, phase: 'writing', endReason: null })).toBeNull();
});
