import { expect, test } from 'vitest';
import type { Tier } from '#shared/judge/finding.ts';
import { AnswerText } from '../../../../web/state/conversation/answer-text.ts';

const FIRST = 10;

/** Letters from position FIRST on, one for each token. */
function write(text: AnswerText, letters: string, from = FIRST): void {
  [...letters].forEach((letter, i) => text.push(from + i, letter));
}

function mark(text: AnswerText, start: number, end: number, tier: Tier = 'checked'): void {
  text.mark({ start, end, tier });
}

/** `text/tier` for each part. */
function parts(text: AnswerText): string[] {
  return text.parts().map(({ text, tier }) => `${text}/${tier}`);
}

test('a token has the verdict of the row it was drawn from, the one before it', () => {
  const text = new AnswerText();
  write(text, 'abcdef');
  mark(text, 0, 12);
  expect(parts(text)).toEqual(['abc/checked', 'def/null']);
  expect(text.waiting).toBe(3);
});

test('a part keeps its start when its verdict comes, so that it can change before one’s eyes', () => {
  const text = new AnswerText();
  write(text, 'abcd');
  const [before] = text.parts();
  mark(text, 0, 11);
  const [after, rest] = text.parts();
  expect([before?.start, after?.start, rest?.start]).toEqual([10, 10, 12]);
});

test('neighbours with one verdict each stay two parts', () => {
  const text = new AnswerText();
  write(text, 'abcdef');
  mark(text, 0, 12);
  mark(text, 12, 15);
  expect(parts(text)).toEqual(['abc/checked', 'def/checked']);
});

test('tokens that are taken back go with their verdicts, and those that come again wait for theirs', () => {
  const text = new AnswerText();
  write(text, 'abcdef');
  mark(text, 0, 12);
  mark(text, 12, 15, 'disputed');
  text.withdraw(13);
  write(text, 'xy', 13);
  expect(parts(text)).toEqual(['abc/checked', 'xy/null']);
});

test('what was checked stays so when another route computes it again', () => {
  const text = new AnswerText();
  write(text, 'abcdef');
  mark(text, 0, 12);
  text.withdraw(13);
  write(text, 'xyz', 13);
  mark(text, 0, 11, 'unchecked');
  mark(text, 11, 15, 'unchecked');
  expect(parts(text)).toEqual(['abc/checked', 'xyz/unchecked']);
});

test('what has no verdict at the end is unchecked', () => {
  const text = new AnswerText();
  write(text, 'abc');
  mark(text, 0, 10);
  text.close();
  expect(parts(text)).toEqual(['a/checked', 'bc/unchecked']);
  expect(text.waiting).toBe(0);
});

test('text that was held back comes with the last token', () => {
  const text = new AnswerText();
  write(text, 'ab');
  text.append('!');
  mark(text, 0, 11);
  expect(parts(text)).toEqual(['ab!/checked']);
});

test('an answer without a token has no parts', () => {
  const text = new AnswerText();
  text.append('');
  text.close();
  expect(text.parts()).toEqual([]);
});
