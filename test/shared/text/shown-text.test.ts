import { expect, it } from 'vitest';
import { endsAtStop } from '#shared/text/shown-text.ts';
import { StopStrings } from '#shared/text/stop-strings.ts';

const createWriter = () => {
  const stops = new StopStrings(['end']);
  return {
    push: (token: number) => stops.push(String.fromCharCode(token)),
    get isStopped() {
      return stops.isStopped;
    },
    end: () => '',
  };
};
const codes = (text: string) => [...text].map((c) => c.charCodeAt(0));

it('an answer ends with the token that completes a stop string', () => {
  const isComplete = endsAtStop(createWriter);
  const answers = ['t', 'th', 'the', 'then', 'thend'].map(codes);
  expect(answers.map(isComplete)).toEqual([false, false, false, false, true]);
});

it('an answer whose last tokens were taken back ends where the new ones say', () => {
  const isComplete = endsAtStop(createWriter);
  for (const text of ['e', 'en']) isComplete(codes(text));
  expect(['ex', 'exd', 'exde', 'exden', 'exdend'].map((text) => isComplete(codes(text)))).toEqual([
    ...[false, false, false, false, true],
  ]);
});
