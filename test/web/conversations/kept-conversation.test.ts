import { describe, expect, test } from 'vitest';
import {
  isFoundIn,
  keptConversationSchema,
  MAX_TITLE,
  titleOf,
  type KeptConversation,
  type KeptId,
} from '../../../web/conversations/kept-conversation.ts';

const id = (digit: string) => digit.repeat(16) as KeptId;

const KEPT: KeptConversation = {
  id: id('a'),
  title: 'Of wrens',
  createdAtMs: 1,
  updatedAtMs: 2,
  leaf: id('b'),
  turns: [
    {
      id: id('b'),
      parent: null,
      question: 'Where do they nest?',
      askedAtMs: 1,
      leftOut: 0,
      answer: {
        state: 'done',
        parts: [
          { start: 5, end: 6, text: 'In hed', tier: 'checked' },
          { start: 6, end: 7, text: 'ges.', tier: 'unchecked' },
        ],
        endReason: 'stop',
        error: null,
        ...{ tokens: 2, promptTokens: 5, firstTokenMs: 10, tokensPerSecond: null },
        tier: 'unchecked',
        counts: { checked: 1, settled: 0, unchecked: 1, disputed: 0 },
      },
    },
  ],
};

describe('what is kept of a conversation', () => {
  test('is read as it was written', () => {
    expect(keptConversationSchema.parse(structuredClone(KEPT))).toEqual(KEPT);
  });

  const [turn] = KEPT.turns;
  test.for<[string, object]>([
    ['another kind of id', { id: 'x' }],
    ['no title', { title: '' }],
    ['a title without end', { title: 'x'.repeat(MAX_TITLE + 1) }],
    ['a time that no calendar has', { updatedAtMs: 1e300 }],
    ['no turn', { turns: [] }],
    ['a turn without a question', { turns: [{ ...turn, question: undefined }] }],
    ['a verdict that is none', { turns: [{ ...turn, answer: { ...turn!.answer, tier: 'correct' } }] }],
  ])('is refused with %s', ([, change]) => {
    expect(keptConversationSchema.safeParse({ ...KEPT, ...change }).success).toBe(false);
  });

  test('is found by words of its title, its questions and its answers, across verdicts', () => {
    expect(['', 'WRENS', 'nest they', 'hedges', 'wrens hedges'].map((words) => isFoundIn(KEPT, words))).toEqual(
      Array(5).fill(true),
    );
    expect(['owls', 'nest?in', 'wrens owls'].map((words) => isFoundIn(KEPT, words))).toEqual([false, false, false]);
  });

  test('has the first line of its question for a title, cut at a word', () => {
    expect(titleOf('  Where?\nAnd why?')).toBe('Where?');
    expect(titleOf('tabs\tand   blanks')).toBe('tabs and blanks');
    const long = titleOf(`${'word '.repeat(40)}`);
    expect(long).toMatch(/word…$/);
    expect(long.length).toBeLessThanOrEqual(MAX_TITLE);
    expect(titleOf('x'.repeat(300))).toHaveLength(MAX_TITLE);
  });
});
