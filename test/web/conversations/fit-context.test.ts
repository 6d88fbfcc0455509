import { describe, expect, test } from 'vitest';
import { fitContext, messagesOf, type Asking, type PromptMeter } from '../../../web/conversations/fit-context.ts';
import { explainFit } from '../../../web/words/explain-fit.ts';

/** A word is a token. */
const meter: PromptMeter = {
  maxPositions: 100,
  count: (messages) => messages.reduce((sum, { content }) => sum + content.split(' ').length, 0),
};
const words = (count: number) => Array(count).fill('word').join(' ');

/** Turns of 10 tokens of question and 10 of answer each. */
function asking(turns: number, question: number, change: Partial<Asking> = {}): Asking {
  const said = Array.from({ length: turns }, () => ({ question: words(10), answer: words(10) }));
  return { turns: said, question: words(question), leftOut: 0, maxNewTokens: 64, ...change };
}

describe('a question that is measured before it is sent', () => {
  test('fits where there is room for an answer', () => {
    const fit = fitContext(asking(1, 10), meter);
    expect(fit).toEqual({ promptTokens: 30, maxPositions: 100, room: 70, leftOut: 0, offer: null });
    expect(explainFit(fit, 64)).toEqual({ tone: 'fine', text: '30 of 100 tokens', warning: null });
  });

  test('is offered as few of the oldest turns to be left out as make an answer of fair length', () => {
    const fit = fitContext(asking(4, 10), meter);
    expect(fit).toMatchObject({ promptTokens: 90, room: 10, offer: { leftOut: 1, room: 30 } });
    expect(explainFit(fit, 64)).toMatchObject({ tone: 'short', warning: 'Only 10 tokens are left for the answer.' });
    expect(fitContext(asking(6, 10), meter).offer).toEqual({ leftOut: 3, room: 30 });
    expect(fitContext(asking(6, 10, { leftOut: 3 }), meter)).toMatchObject({ room: 30, leftOut: 3, offer: null });
  });

  test('does not want more room than the longest answer that was set', () => {
    expect(fitContext(asking(4, 10, { maxNewTokens: 8 }), meter).offer).toBeNull();
  });

  test('that is too long by itself is helped by leaving nothing out', () => {
    const fit = fitContext(asking(2, 120), meter);
    expect(fit).toMatchObject({ room: 0, offer: null });
    expect(explainFit(fit, 64)).toEqual({
      tone: 'over',
      text: 'Over 100 tokens',
      warning: 'The model reads 100 tokens, its answer included. Shorten the question.',
    });
  });

  test('goes without the turns that are left out, and without those that have no answer', () => {
    const turns = [
      { question: 'one', answer: '1' },
      { question: 'two', answer: '' },
      { question: 'three', answer: '3' },
    ];
    const told = messagesOf({ turns, question: 'four', leftOut: 1 });
    expect(told.map(({ content }) => content)).toEqual(['three', '3', 'four']);
  });
});
