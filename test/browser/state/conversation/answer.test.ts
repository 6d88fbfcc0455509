import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { ShownAnswer } from '../../../../web/state/conversation/answer.svelte.ts';
import type { ChatEvent } from '../../../../web/state/conversation/chat.ts';
import { summarizeChecks } from '../../../../web/words/explain-check.ts';
import {
  disputedEvents,
  liarEvents,
  receiptVerdict,
  settledEvents,
  settlingEvents,
  storyEvents,
} from '../../../support/page-gallery/check-fixtures.ts';
import { peer, ROUTE } from '../../../support/page-gallery/fixtures.ts';
import { receiptOutcomes } from '../../../support/page-gallery/receipt-fixtures.ts';

function after(events: readonly ChatEvent[]): ShownAnswer {
  const answer = new ShownAnswer(1000);
  events.forEach((event, i) => answer.apply(event, 1100 + 20 * i));
  return answer;
}

function finished(): ShownAnswer {
  return after(storyEvents());
}

test('an answer goes through its phases in the order of its events', () => {
  const answer = new ShownAnswer(0);
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
  expect(answer.tokensPerSecond).toBeGreaterThan(45);
});

test('what no stage accounts for of a lap is the wire', () => {
  const answer = finished();
  const inStagesMs = answer.stageTimes.reduce((sum, { queueMs, runMs }) => sum + queueMs + runMs, 0);
  expect((answer.wireMs ?? 0) + inStagesMs).toBeCloseTo(answer.lapMs ?? 0);
  expect(answer.stageTimes).toHaveLength(ROUTE.stages.length);
});

test('a second route in the middle does not make a written answer look unbegun', () => {
  const answer = new ShownAnswer(0);
  for (const event of storyEvents().slice(0, 6)) answer.apply(event, 5);
  answer.apply({ type: 'rerouted', reason: 'it left', volunteer: null, from: 31 }, 6);
  answer.apply({ type: 'routed', route: ROUTE, links: [] }, 7);
  answer.apply({ type: 'prompt', done: 4, total: 30 }, 8);
  expect(answer.phase).toBe('writing');
  expect(answer.checks.reroutes.map(({ reason }) => reason)).toEqual(['it left']);
});

test('a token that another replica drew takes the place of what came from there on, on the same route', () => {
  const answer = new ShownAnswer(0);
  for (const event of storyEvents().slice(0, 6)) answer.apply(event, 5);
  const tokens = storyEvents().filter((event) => event.type === 'token');
  const { position } = tokens[1]!;
  const before = answer.tokens;
  answer.apply({ type: 'redrawn', stage: 1, volunteer: peer(3), from: position }, 6);
  expect(answer.tokens).toBeLessThan(before);
  answer.apply({ ...tokens[1]!, text: ' other' }, 7);
  expect(answer.text.endsWith(' other')).toBe(true);
  expect(answer.checks.reroutes).toEqual([]);
});

test('a failure keeps the text that came, and a cancel is no failure', () => {
  const failed = new ShownAnswer(0);
  for (const event of storyEvents().slice(0, 6)) failed.apply(event, 5);
  failed.fail(new ChorusError('link-lost', 'gone'));
  expect([failed.phase, failed.error?.code, failed.text.length > 0]).toEqual(['failed', 'link-lost', true]);
  const cancelled = new ShownAnswer(0);
  cancelled.fail(new ChorusError('cancelled', 'stopped'));
  expect([cancelled.phase, cancelled.endReason]).toEqual(['done', 'cancelled']);
});

test('text is without a verdict until it comes, and has that of its own part then', () => {
  const answer = new ShownAnswer(0);
  const tiers: string[] = [];
  for (const event of settledEvents()) {
    answer.apply(event, 5);
    tiers.push(answer.parts.map(({ tier }) => tier ?? '-').join(' '));
  }
  const changes = tiers.filter((line, i) => line !== tiers[i - 1]);
  expect(changes).toEqual(['', '-', 'checked -', 'checked settled -', 'checked settled checked']);
  expect(answer.checks.tier).toBe('settled');
  expect(answer.checks.counts).toEqual({ checked: 2, settled: 1, unchecked: 0, disputed: 0 });
});

test('the text of a liar is taken back, and what comes again over another route takes its place', () => {
  const answer = new ShownAnswer(0);
  let longest = 0;
  for (const event of liarEvents()) {
    answer.apply(event, 5);
    if (event.type === 'rerouted') expect(answer.tokens).toBeLessThan(longest);
    longest = Math.max(longest, answer.tokens);
  }
  expect(answer.text).toBe(finished().text);
  expect(answer.parts.every(({ tier }) => tier === 'checked')).toBe(true);
});

test('a liar is named with the part it computed, and its leaving is not told a second time', () => {
  const { checks } = after(liarEvents());
  expect(checks.faults).toMatchObject([{ volunteer: peer(2), isProven: true, range: ROUTE.stages[0]?.range }]);
  expect(checks.reroutes).toEqual([]);
  expect(checks.routes.map(({ checks }) => checks.length)).toEqual([2, 3]);
});

test('a difference is being settled until its verdict comes', () => {
  const answer = after(settlingEvents());
  expect(answer.checks.settling).toMatchObject({ stage: 1, start: 64, role: 'referee', range: ROUTE.stages[1]?.range });
  for (const event of storyEvents().slice(-2)) answer.apply(event, 5);
  expect(answer.checks.settling).toBeNull();
});

test('what was not checked when the answer broke off stays unchecked', () => {
  const answer = after(settlingEvents());
  answer.fail(new ChorusError('link-lost', 'gone'));
  expect(answer.checks.settling).toBeNull();
  expect(answer.checks.tier).toBe('unchecked');
  expect(answer.parts.map(({ tier }) => tier)).toEqual(['checked', 'checked', 'unchecked']);
});

test('what nobody could decide is disputed', () => {
  const answer = after(disputedEvents());
  expect(answer.parts.at(-1)?.tier).toBe('disputed');
  expect(answer.checks.tier).toBe('disputed');
});

test('an answer that goes on over the session before counts its own checks only', () => {
  const next = new ShownAnswer(0);
  next.continueOn(finished());
  expect(next.route).toBe(ROUTE);
  expect(next.checks.routes.map(({ checks }) => checks.length)).toEqual([0]);
});

test('an answer shows the verdict of its receipt, which is no better than what was signed', () => {
  const answer = finished();
  expect(answer.checks.tier).toBe('checked');
  const { receipt, error } = receiptOutcomes()['receipt']!;
  const verdict = receiptVerdict(storyEvents(), false);
  answer.apply({ type: 'receipt', receipt: { ...receipt!, verdict }, error }, 5000);
  expect([answer.checks.tier, answer.checks.counts]).toEqual(['unchecked', verdict.counts]);
  expect(new Set(answer.parts.map(({ tier }) => tier))).toEqual(new Set(['unchecked']));
  const stages = answer.checks.routes.flatMap(({ checks }) => checks.flatMap((check) => check.stages));
  expect(new Set(stages.map(({ reason }) => reason))).toEqual(new Set(['not-signed']));
  const words = 'Unchecked: all 3 chunks could not be checked';
  expect(summarizeChecks(answer)).toEqual({ tier: 'unchecked', text: words, note: null });
});

test('a receipt of a whole answer changes nothing of its verdicts', () => {
  const answer = finished();
  const { parts, checks } = answer;
  const before = [parts, checks.tier, checks.counts, checks.routes];
  const { receipt, error } = receiptOutcomes()['receipt']!;
  answer.apply({ type: 'receipt', receipt, error }, 5000);
  expect([answer.parts, checks.tier, checks.counts, checks.routes]).toEqual(before);
});
