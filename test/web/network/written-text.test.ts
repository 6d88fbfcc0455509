import { expect, it } from 'vitest';
import { WrittenText } from '../../../web/network/written-text.ts';

/** Holds each token back until the next comes. */
function createWriter() {
  let held = '';
  const push = (token: number) => {
    const text = held;
    held = `${token} `;
    return text;
  };
  return { push, isStopped: false, end: () => held };
}

it('is all that was shown, without what was taken back', () => {
  const shown = new WrittenText(createWriter);
  const pieces = [shown.push(7, 1), shown.push(8, 2), shown.push(9, 3)];
  expect(pieces.join('')).toBe('1 2 ');
  expect(shown.text).toBe('1 2 ');
  shown.rewind(9);
  expect(shown.text).toBe('1 ');
  expect(shown.push(9, 4)).toBe('2 ');
  expect(shown.end()).toBe('4 ');
  expect(shown.text).toBe('1 2 4 ');
});
