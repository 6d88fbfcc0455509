import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import AnswerAnnouncer from '../../../web/components/answer/AnswerAnnouncer.svelte';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';
import { settlingEvents, storyEvents } from '../../support/page-gallery/check-fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

/** The words for a screen reader while these events come, one entry for each change. */
function listen(events: readonly ChatEvent[]): string[] {
  const answer = new ShownAnswer(0);
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(AnswerAnnouncer, { target, props: { answer } }));
  const said: string[] = [];
  for (const event of events) {
    answer.apply(event, 10);
    flushSync();
    const now = target.querySelector('[aria-live=polite]')?.textContent ?? '';
    if (now !== '' && now !== said.at(-1)) said.push(now);
  }
  return said;
}

test('tells of an answer in many chunks once while it is written and once with its verdict', () => {
  const said = listen(storyEvents(8));
  expect(said).toHaveLength(2);
  expect(said[0]).toBe('The answer is being written. It is not checked yet.');
  expect(said[1]).toMatch(
    /^Answer: Once upon a time .* Checked: same result twice\. .* all 14 chunks, within tolerance\. Whether it is true, nobody checked\.$/,
  );
});

test('says nothing of an answer from before that is only opened', () => {
  const answer = new ShownAnswer(0);
  for (const event of storyEvents()) answer.apply(event, 10);
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(AnswerAnnouncer, { target, props: { answer } }));
  flushSync();
  expect(target.textContent.trim()).toBe('');
});

test('tells that a difference is being settled', () => {
  expect(listen(settlingEvents()).at(-1)).toBe(
    'Two volunteers differ on stage 2 (layers 4–7 + head). Asking an anchor.',
  );
});
