import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import AnswerView from '../../../web/components/AnswerView.svelte';
import { Answer } from '../../../web/state/answer.svelte.ts';
import { storyEvents } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(answer: Answer, onRetry = (): void => undefined): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(AnswerView, { target, props: { answer, onRetry } }));
  return target;
}

test('says the place in the queue', () => {
  const answer = new Answer(0);
  answer.apply({ type: 'queued', position: 2 }, 0);
  const target = show(answer);
  expect(target.innerText).toContain('number 2 in the queue');
  answer.apply({ type: 'queued', position: 1 }, 0);
  flushSync();
  expect(target.innerText).toContain('You are next');
});

test('calls an answer that nobody re-ran unchecked', () => {
  const answer = new Answer(0);
  for (const event of storyEvents()) answer.apply(event, 10);
  expect(show(answer).innerText).toContain('Unchecked: one volunteer per stage ran this, nobody re-ran it.');
});

test('text from the model stays text', () => {
  const answer = new Answer(0);
  const token = storyEvents().find((event) => event.type === 'token')!;
  answer.apply({ ...token, text: '<img src=x onerror=alert(1)>' }, 0);
  const target = show(answer);
  expect(target.querySelector('img')).toBeNull();
  expect(target.innerText).toContain('<img src=x');
});

test('names the layers that are missing, the way to help, and a second try', () => {
  const answer = new Answer(0);
  answer.fail(new ChorusError('no-coverage', 'x', { missing: { start: 6, end: 8 } }));
  let retries = 0;
  const target = show(answer, () => retries++);
  expect(target.innerText).toContain('Nobody holds layers 6 to 7.');
  expect(target.querySelector('a')?.getAttribute('href')).toBe('#/volunteer');
  target.querySelector('button')?.click();
  expect(retries).toBe(1);
});

test('says that a volunteer left and the answer went on', () => {
  const answer = new Answer(0);
  for (const event of storyEvents().slice(0, 8)) answer.apply(event, 10);
  answer.apply({ type: 'rerouted', reason: 'its link was lost', volunteer: null }, 10);
  expect(show(answer).innerText).toContain('A volunteer left (its link was lost)');
});
