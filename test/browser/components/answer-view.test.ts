import { flushSync, mount, unmount, type ComponentProps } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import AnswerView from '../../../web/components/answer/AnswerView.svelte';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';
import {
  bareEvents,
  disputedEvents,
  liarEvents,
  partlyEvents,
  settledEvents,
  settlingEvents,
  storyEvents,
} from '../../support/page-gallery/check-fixtures.ts';
import { peer } from '../../support/page-gallery/fixtures.ts';

const shown: object[] = [];
afterEach(() => {
  for (const component of shown.splice(0)) void unmount(component);
});

function show(answer: ShownAnswer, more: Partial<ComponentProps<typeof AnswerView>> = {}): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  shown.push(mount(AnswerView, { target, props: { answer, onRetry: () => undefined, ...more } }));
  return target;
}

test('says the place in the queue', () => {
  const answer = new ShownAnswer(0);
  answer.apply({ type: 'queued', position: 2 }, 0);
  const target = show(answer);
  expect(target.innerText).toContain('number 2 in the queue');
  answer.apply({ type: 'queued', position: 1 }, 0);
  flushSync();
  expect(target.innerText).toContain('You are next');
});

function after(events: readonly ChatEvent[]): ShownAnswer {
  const answer = new ShownAnswer(0);
  for (const event of events) answer.apply(event, 10);
  return answer;
}

test.for([
  ['Checked: same result twice', storyEvents],
  ['Checked: same result twice, after a difference', settledEvents],
  ['Unchecked: one volunteer per stage ran this, nobody re-ran it', bareEvents],
  [
    'Partly unchecked: stage 1 (embedding + layers 0–3) was computed by one volunteer only in 1 of 3 chunks',
    partlyEvents,
  ],
  ['Disputed: volunteers differ on 1 of 3 chunks, and nobody could decide', disputedEvents],
  ['Settling a difference', settlingEvents],
  ['Not checked yet', () => storyEvents().slice(0, 5)],
] as const)('its mark says: %s', ([mark, events]) => {
  expect(show(after(events())).querySelector('.mark button')?.textContent).toContain(mark);
});

test('text is pale until it is checked, as faint as can be read', () => {
  const answer = after(storyEvents().slice(0, 5));
  const target = show(answer);
  expect([...target.querySelectorAll('.text > span')].map((span) => span.className.split(' ')[0])).toContain('pale');
  for (const event of storyEvents().slice(5)) answer.apply(event, 10);
  flushSync();
  expect(target.querySelector('.pale')).toBeNull();
  expect(target.querySelectorAll('.text > .checked')).toHaveLength(3);
});

test('names a liar, how it was found and what became of the text', () => {
  const text = show(after(liarEvents())).innerText;
  expect(text).toContain('Volunteer 3c6ef362 computed stage 1 (embedding + layers 0–3) wrongly.');
  expect(text).toContain('Found by an anchor that recomputed it; what they signed proves it.');
});

test('says while a third is asked', () => {
  expect(show(after(settlingEvents())).innerText).toContain(
    'Two volunteers differ on stage 2 (layers 4–7 + head). Asking an anchor.',
  );
});

test('never calls anything correct', () => {
  for (const events of [storyEvents, settledEvents, bareEvents, partlyEvents, disputedEvents, liarEvents]) {
    const target = show(after(events()));
    target.querySelector<HTMLElement>('.mark button')?.click();
    flushSync();
    expect(target.innerText).not.toMatch(/\bcorrect/i);
  }
});

test('text from the model stays text', () => {
  const answer = new ShownAnswer(0);
  const token = storyEvents().find((event) => event.type === 'token')!;
  answer.apply({ ...token, text: '<img src=x onerror=alert(1)>' }, 0);
  const target = show(answer);
  expect(target.querySelector('img')).toBeNull();
  expect(target.innerText).toContain('<img src=x');
});

test('names the layers that are missing, the way to help, and a second try', () => {
  const answer = new ShownAnswer(0);
  answer.fail(new ChorusError('no-coverage', 'x', { missing: { start: 6, end: 8 } }));
  const seen = { retries: 0, lent: 0 };
  const target = show(answer, { onRetry: () => seen.retries++, onLend: () => seen.lent++ });
  expect(target.innerText).toContain('Nobody holds layers 6 to 7.');
  const lend = target.querySelector('a')!;
  expect([lend.textContent, lend.getAttribute('href')]).toEqual(['Lend this tab', '#/volunteer']);
  lend.click();
  target.querySelector('button')?.click();
  expect(seen).toEqual({ retries: 1, lent: 1 });
});

test('a want of volunteers is not shown any more once they have come, and the question can be asked again', () => {
  const answer = new ShownAnswer(0);
  answer.fail(new ChorusError('no-coverage', 'x', { missing: { start: 6, end: 8 } }));
  let retries = 0;
  const target = show(answer, { isServable: true, onRetry: () => retries++ });
  expect(target.innerText).not.toContain('Nobody holds');
  expect(target.innerText).toContain('Every layer of the model is held now');
  target.querySelector('button')?.click();
  expect(retries).toBe(1);
});

test('says that a volunteer left and the answer went on', () => {
  const answer = new ShownAnswer(0);
  for (const event of storyEvents().slice(0, 8)) answer.apply(event, 10);
  answer.apply({ type: 'rerouted', reason: 'its link was lost', volunteer: peer(2), from: 33 }, 10);
  expect(show(answer).innerText).toContain('A volunteer left (its link was lost)');
});
