import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { CheckSummary } from '#shared/requester/engine/check-summary.ts';
import { checkedEvent, findingOf } from '../../../support/verdicts.ts';

function summaryOf(...events: AnswerEvent[]): CheckSummary {
  const summary = new CheckSummary();
  for (const event of events) summary.add(event);
  return summary;
}

describe('CheckSummary', () => {
  it('knows nothing before the first verdict', () => {
    const { checkedEnd, positions, replicas, isExact, worst, closestCall, faults } = summaryOf();
    expect([checkedEnd, positions, replicas, isExact, worst, closestCall, faults]).toEqual([
      ...[-1, 0, 0, false, null, null, []],
    ]);
  });

  it('keeps the largest of each difference and the one closest to its limit', () => {
    const summary = summaryOf(
      checkedEvent(0, 32, 'checked', [findingOf(0.001)]),
      checkedEvent(32, 40, 'checked', [
        findingOf(0, { closeness: { median: 0, p95: 0.005, max: 0.0005, bias: 0, norm: 1, tokenGap: 0 } }),
      ]),
    );
    expect(summary.worst).toEqual({ median: 0.001, p95: 0.005, max: 0.001, bias: 0.001 });
    expect(summary.closestCall).toEqual({ measure: 'p95', value: 0.005, limit: 0.01 });
    expect([summary.positions, summary.checkedEnd, summary.replicas]).toEqual([40, 40, 2]);
  });

  it('leaves out what was rejected, whose shadow was found wrong', () => {
    const wrong = findingOf(1, { outcome: 'rejected' });
    const summary = summaryOf(checkedEvent(0, 32, 'settled', [wrong, findingOf(0.001)]));
    expect(summary.worst?.max).toBe(0.001);
  });

  it('says exact only if all bits were equal', () => {
    expect(summaryOf(checkedEvent(0, 32)).isExact).toBe(true);
    expect(summaryOf(checkedEvent(0, 32), checkedEvent(32, 33, 'checked', [findingOf(1e-6)])).isExact).toBe(false);
    expect(summaryOf(checkedEvent(0, 32, 'unchecked')).isExact).toBe(false);
  });

  it('counts the replicas that agreed where they were fewest', () => {
    const two = checkedEvent(0, 32, 'checked', [findingOf(0), findingOf(0)]);
    expect(summaryOf(two).replicas).toBe(3);
    expect(summaryOf(two, checkedEvent(32, 64)).replicas).toBe(2);
    expect(summaryOf(two, checkedEvent(32, 64, 'unchecked')).replicas).toBe(1);
  });

  it('takes verdicts back with the tokens of another route, and counts positions once that are checked again', () => {
    const rerouted: AnswerEvent = { type: 'rerouted', reason: 'left', volunteer: null, from: 33 };
    const summary = summaryOf(checkedEvent(0, 32), checkedEvent(32, 40, 'disputed'), rerouted, checkedEvent(0, 32));
    expect([summary.checkedEnd, summary.positions]).toEqual([32, 32]);
  });

  it('names the thirds that were given rows, also where nothing came of it', () => {
    const [third, other] = ['a'.repeat(64) as PeerId, 'b'.repeat(64) as PeerId];
    const settled = (tier: 'settled' | 'disputed', id: PeerId): AnswerEvent => {
      const event = checkedEvent(0, 32, tier);
      if (event.type !== 'checked') throw new Error('not a verdict');
      const arbiter = { id, role: 'arbiter', numericClass: 'wasm' } as const;
      return {
        ...event,
        check: { ...event.check, stages: event.check.stages.map((stage) => ({ ...stage, arbiter })) },
      };
    };
    const summary = summaryOf(checkedEvent(0, 32), settled('settled', third), settled('disputed', other));
    expect([...summary.thirds]).toEqual([third, other]);
  });

  it('names who failed', () => {
    const volunteer = 'f'.repeat(64) as PeerId;
    const fault = {
      volunteer,
      stage: 1,
      role: 'primary',
      code: 'disagreement',
      start: 0,
      end: 32,
      isProven: true,
    } as const;
    expect(summaryOf({ type: 'fault', ...fault }).faults).toEqual([expect.objectContaining(fault)]);
  });
});
