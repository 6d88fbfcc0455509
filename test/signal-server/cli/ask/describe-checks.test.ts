import { expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Route } from '#shared/route/route.ts';
import { CheckSummary } from '#shared/requester/engine/check-summary.ts';
import { countReaders, describeChecks, describeReaders } from '../../../../signal-server/cli/ask/describe-checks.ts';
import { checkedEvent, endEvent, findingOf } from '../../../support/verdicts.ts';

function describeAll(events: readonly AnswerEvent[], ...end: Parameters<typeof endEvent>): string {
  const summary = new CheckSummary();
  for (const event of events) summary.add(event);
  return describeChecks(endEvent(...end), summary);
}

it('a checked answer is said to be within tolerance, and how far', () => {
  const spans = [checkedEvent(0, 32, 'checked', [findingOf(0.0003)]), checkedEvent(32, 40)];
  expect(describeAll(spans, 8, { spans: 2 })).toBe(
    'checked: same result twice in both chunks, 2 volunteers per stage agreed within tolerance (largest difference 0.0003 of 0.01 allowed)',
  );
});

it('equal bits are said to be equal', () => {
  expect(describeAll([checkedEvent(0, 5)], 1)).toBe(
    'checked: same result twice in the only chunk, 2 volunteers per stage agreed, bit for bit',
  );
});

it('an answer of one replica is said to be unchecked', () => {
  const line = describeAll([checkedEvent(0, 5, 'unchecked')], 1, { tier: 'unchecked' });
  expect(line).toBe('unchecked: the only chunk was computed by one volunteer only');
});

it('an answer that was stopped before its check is not said to have had one volunteer only', () => {
  const line = describeAll([checkedEvent(0, 32)], 8, { tier: 'unchecked', reason: 'cancelled' });
  expect(line).toMatch(/^unchecked: stopped before its first check was finished/);
});

it('who failed is counted', () => {
  const fault = { volunteer: '1'.repeat(64) as PeerId, stage: 0, role: 'primary', code: 'disagreement' } as const;
  const events = [{ type: 'fault', ...fault, start: 0, end: 5, isProven: true } as const, checkedEvent(0, 5)];
  expect(describeAll(events, 1)).toMatch(/bit for bit, 1 failed the check$/);
});

it('everybody who was given rows of the prompt is counted once, thirds too, and the server where it relayed', () => {
  const peer = (digit: string) => ({ id: digit.repeat(64) as PeerId, webrtc: true, numericClass: 'wasm' });
  const range = { start: 0, end: 8, embedding: true, head: true };
  const routed = (primary: string, shadow: string, transport: 'relay' | 'webrtc') => ({
    route: { stages: [{ range, primary: peer(primary), shadows: [peer(shadow)], predictedMs: 0 }] } as unknown as Route,
    links: [{ stage: 0, transport, rttMs: null }] as unknown as Extract<AnswerEvent, { type: 'routed' }>['links'],
  });
  const routes = [routed('1', '2', 'webrtc'), routed('2', '3', 'webrtc')];
  const count = countReaders(routes, { thirds: new Set([peer('3').id, peer('4').id]) });
  expect(describeReaders(count, routes)).toBe('4 volunteers could read this prompt');
  expect(describeReaders(1, [...routes, routed('1', '2', 'relay')])).toBe(
    '1 volunteer could read this prompt, and so could the server, whose relay passed it on',
  );
});
