import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { Answer } from '../../../web/state/answer.svelte.ts';
import { ROUTE, storyEvents } from '../../support/page-gallery/fixtures.ts';

function finished(): Answer {
  const answer = new Answer(1000);
  storyEvents().forEach((event, i) => answer.apply(event, 1100 + 20 * i));
  return answer;
}

test('an answer goes through its phases in the order of its events', () => {
  const answer = new Answer(0);
  const phases = [answer.phase];
  answer.apply({ type: 'queued', position: 3 }, 1);
  phases.push(answer.phase);
  for (const event of storyEvents()) {
    answer.apply(event, 2);
    if (phases.at(-1) !== answer.phase) phases.push(answer.phase);
  }
  expect(phases).toEqual(['connecting', 'queued', 'opening', 'reading', 'writing', 'done']);
  expect(answer.queuePosition).toBe(3);
});

test('text, time to the first token and speed come from the tokens', () => {
  const answer = finished();
  expect(answer.text).toMatch(/^Once upon a time.*The end\.$/);
  expect(answer.firstTokenMs).toBe(140);
  expect(answer.tokensPerSecond).toBeCloseTo(50);
});

test('what no stage accounts for of a lap is the wire', () => {
  const answer = finished();
  const inStagesMs = answer.stageTimes.reduce((sum, { queueMs, runMs }) => sum + queueMs + runMs, 0);
  expect((answer.wireMs ?? 0) + inStagesMs).toBeCloseTo(answer.lapMs ?? 0);
  expect(answer.stageTimes).toHaveLength(ROUTE.stages.length);
});

test('a second route in the middle does not make a written answer look unbegun', () => {
  const answer = new Answer(0);
  for (const event of storyEvents().slice(0, 6)) answer.apply(event, 5);
  answer.apply({ type: 'rerouted', reason: 'it left', volunteer: null }, 6);
  answer.apply({ type: 'routed', route: ROUTE, links: [] }, 7);
  answer.apply({ type: 'prompt', done: 4, total: 30 }, 8);
  expect(answer.phase).toBe('writing');
  expect(answer.reroutes).toEqual(['it left']);
});

test('a failure keeps the text that came, and a cancel is no failure', () => {
  const failed = new Answer(0);
  for (const event of storyEvents().slice(0, 6)) failed.apply(event, 5);
  failed.fail(new ChorusError('link-lost', 'gone'));
  expect([failed.phase, failed.error?.code, failed.text.length > 0]).toEqual(['failed', 'link-lost', true]);
  const cancelled = new Answer(0);
  cancelled.fail(new ChorusError('cancelled', 'stopped'));
  expect([cancelled.phase, cancelled.endReason]).toEqual(['done', 'cancelled']);
});
